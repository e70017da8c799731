//! What the rules depend on besides the desired state.

use super::capabilities::Capabilities;
use crate::interfaces::Interfaces;

/// Facts about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) capabilities: Capabilities,
    pub(crate) interfaces: Interfaces,
    /// Whether something on this host answers DNS queries sent to a loopback address.
    pub(crate) local_resolver: bool,
}
