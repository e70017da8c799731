//! What the host looks like.

use crate::desired::Addresses;
use crate::error::HostError;

/// Everything a plan is made from, as read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {}

impl Observed {
    /// The addresses for the tunnel link: those it has already, or the first kept
    /// pair that collides with no network of this host.
    ///
    /// # Errors
    /// [`HostError::AddressesTaken`].
    pub fn tunnel_addresses(&self) -> Result<Addresses, HostError> {
        Err(HostError::AddressesTaken)
    }
}
