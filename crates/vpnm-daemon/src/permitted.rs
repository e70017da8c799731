//! What may pass beside the tunnel.

use vpnm_host::{Forwarding, Lan};

use crate::settings::{ForOthers, Settings};

/// What the settings let pass beside the tunnel, and into it for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Permitted {
    pub(crate) lan: Lan,
    pub(crate) forwarding: Forwarding,
}

impl From<&Settings> for Permitted {
    fn from(settings: &Settings) -> Self {
        Self {
            lan: if settings.lan {
                Lan::Allowed
            } else {
                Lan::Blocked
            },
            forwarding: match settings.forwarding {
                ForOthers::Tunnel => Forwarding::Tunnel,
                ForOthers::Block => Forwarding::Blocked,
            },
        }
    }
}
