//! What may pass beside the tunnel.

use std::net::IpAddr;

use vpnm_host::{Forwarding, Lan};

use crate::settings::{ForOthers, Settings};

/// What the settings let pass beside the tunnel, and into it for others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Permitted {
    pub(crate) lan: Lan,
    /// The local network's resolvers that the engine may ask, if they are neighbours.
    pub(crate) resolvers: Vec<IpAddr>,
    pub(crate) forwarding: Forwarding,
    /// Interfaces whose hosts are led into the tunnel, besides containers'.
    pub(crate) serve: Vec<String>,
    /// Interfaces whose neighbours are, although this host goes out there.
    pub(crate) serve_uplink: Vec<String>,
}

impl From<&Settings> for Permitted {
    fn from(settings: &Settings) -> Self {
        Self {
            lan: if settings.lan {
                Lan::Allowed
            } else {
                Lan::Blocked
            },
            resolvers: Vec::new(),
            forwarding: match settings.forwarding {
                ForOthers::Tunnel => Forwarding::Tunnel,
                ForOthers::Block => Forwarding::Blocked,
            },
            serve: settings.serve.clone(),
            serve_uplink: settings.serve_uplink.clone(),
        }
    }
}
