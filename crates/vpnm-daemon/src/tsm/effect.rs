//! What the machine can order.

use std::net::IpAddr;

use vpnm_api::{Host, ShareLink};

use super::holes::Holes;
use super::record::Record;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Find out whether this host can carry a tunnel; change nothing.
    Check,
    /// Write the record to the journal and wait until it is on disk.
    Remember(Record),
    /// Bring filter, rules, routes and link to this state and read them back.
    Host(HostWant),
    /// Create the TUN.
    OpenTun,
    /// Close the TUN, which deletes it.
    CloseTun,
    /// Start the engine and hand it its descriptors.
    StartEngine,
    /// Kill the engine and whatever is being asked of it; wait until it is gone.
    StopEngine,
    /// Ask the engine for the addresses of a name.
    Resolve(Host),
    /// Ask the engine for a tunnel to this server, verified end to end.
    Connect {
        /// The server.
        server: ShareLink,
        /// Its addresses; at least one.
        addresses: Vec<IpAddr>,
        /// What flows through the tunnel that stands may go on, if it leads there: it
        /// is verified anew, not replaced.
        keep: bool,
    },
}

/// The states the host can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostWant {
    /// As it was before vpnm.
    Open,
    /// Nothing leaves but the engine's connections to the holes.
    Blocked(Holes),
    /// As blocked, and all traffic is led into the TUN.
    Tunnel(Holes),
}

/// Where an effect is carried out; one at a time in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The journal and the kernel. Its effects are never aborted.
    Host,
    /// The data plane. Its effects are aborted when they are no longer wanted.
    Engine,
}

impl Effect {
    /// The lane the effect runs in.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Check | Self::Remember(_) | Self::Host(_) | Self::OpenTun | Self::CloseTun => {
                Lane::Host
            }
            Self::StartEngine | Self::StopEngine | Self::Resolve(_) | Self::Connect { .. } => {
                Lane::Engine
            }
        }
    }
}

impl HostWant {
    /// What the engine may reach; `None` when everything may reach everything.
    #[must_use]
    pub fn holes(&self) -> Option<&Holes> {
        match self {
            Self::Open => None,
            Self::Blocked(holes) | Self::Tunnel(holes) => Some(holes),
        }
    }
}
