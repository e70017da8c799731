//! The destinations that the engine may reach outside the tunnel.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// TCP destinations open to the engine's uid while everything else is blocked.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Holes(BTreeSet<SocketAddr>);

impl Holes {
    /// One port on several addresses.
    #[must_use]
    pub fn on_port(addresses: &[IpAddr], port: u16) -> Self {
        Self(
            addresses
                .iter()
                .map(|ip| SocketAddr::new(*ip, port))
                .collect(),
        )
    }

    /// These and the other's.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().copied());
        self
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn contain(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// Each destination, in order.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<SocketAddr> for Holes {
    fn from_iter<I: IntoIterator<Item = SocketAddr>>(addresses: I) -> Self {
        Self(addresses.into_iter().collect())
    }
}

impl fmt::Debug for Holes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}
