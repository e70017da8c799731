//! What the rules depend on besides the desired state.

use super::capabilities::Capabilities;

/// Facts about the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) capabilities: Capabilities,
    /// The interfaces besides `lo` and the tunnel link, sorted.
    pub(crate) interfaces: Vec<String>,
    /// Whether something on this host answers DNS queries sent to a loopback address.
    pub(crate) local_resolver: bool,
}
