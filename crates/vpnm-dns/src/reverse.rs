//! From an address back to the name it was the answer for.

use std::net::IpAddr;

use vpnm_wire::Domain;

use crate::sieve::Sieve;

/// Remembers which name was answered with an address, most recent name first to count.
///
/// Bounded: the addresses that were not asked for again are forgotten first.
#[derive(Debug)]
pub struct ReverseMap {
    names: Sieve<IpAddr, Domain>,
}

impl ReverseMap {
    /// A map of at most `addresses` entries.
    #[must_use]
    pub fn new(addresses: usize) -> Self {
        Self {
            names: Sieve::new(addresses),
        }
    }

    /// Notes that `name` was answered with `address`.
    pub fn observe(&mut self, address: IpAddr, name: &Domain) {
        match self.names.get_mut(&address) {
            Some(known) => known.clone_from(name),
            None => self.names.insert(address, name.clone(), 1),
        }
    }

    /// The name that was last answered with this address.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> Option<&Domain> {
        self.names.peek(&address)
    }
}
