//! Which names belong to the local network, and whether it is asked for them.

use vpnm_wire::Domain;

use crate::special::{Special, is_under, special};
use crate::wire::{Name, kind};

/// What is done with names of the local network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Locality {
    /// They do not exist: the local network is asked for nothing.
    #[default]
    Blocked,
    /// It may be asked, but has no resolver that is known.
    Unknown(LocalDomains),
    /// Its resolver is asked for them, in the clear.
    Asked(LocalDomains),
}

/// Domains that belong to the local network beside the names reserved for it: only
/// those the machine's owner listed, never those the network announces.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalDomains(Box<[Box<[u8]>]>);

impl LocalDomains {
    /// These domains and everything below them.
    #[must_use]
    pub fn new(domains: &[Domain]) -> Self {
        let wire = |domain| Name::from_domain(domain).as_bytes().to_ascii_lowercase();
        Self(
            domains
                .iter()
                .map(wire)
                .map(Vec::into_boxed_slice)
                .collect(),
        )
    }

    /// Whether a lower-case name in wire form is under one of them.
    fn contain(&self, name: &[u8]) -> bool {
        self.0.iter().any(|zone| is_under(name, zone))
    }
}

impl Locality {
    /// Whether a lower-case name in wire form is listed.
    pub(crate) fn lists(&self, name: &[u8]) -> bool {
        match self {
            Self::Blocked => false,
            Self::Unknown(domains) | Self::Asked(domains) => domains.contain(name),
        }
    }

    /// Whether the local network is believed in what it says of a name.
    pub(crate) fn is_believed_in(&self, name: &[u8]) -> bool {
        let is_local = |name| matches!(special(name, kind::A), Some(Special::Local { .. }));
        self.lists(name) || is_local(name)
    }
}
