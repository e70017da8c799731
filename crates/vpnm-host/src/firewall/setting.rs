//! What the rules depend on besides the desired state.

use super::capabilities::Capabilities;
use crate::interfaces::Interfaces;
use crate::rtnl::Prefix;

/// Facts about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) capabilities: Capabilities,
    pub(crate) interfaces: Interfaces,
    /// Names that ways to the internet had and nobody has now, sorted.
    pub(crate) former: Vec<String>,
    /// The networks that this host has an address in, by the interface's name; sorted.
    pub(crate) neighbourhoods: Vec<(String, Prefix)>,
    /// The mark on packets that the tunnel answers a host behind this one with: a
    /// number nobody else knows.
    pub(crate) answer_mark: u32,
    /// Whether something on this host answers DNS queries sent to a loopback address.
    pub(crate) local_resolver: bool,
}
