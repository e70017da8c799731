//! How this host resolves names, and the little that is changed about it.
//!
//! That no query leaves in the clear depends on rules and redirects alone, which take
//! queries to any server: those that can be routed go into the tunnel, those tied to
//! an interface and those to a loopback address where nobody listens are redirected.
//! What is read and set here decides whether names resolve *well*, never whether they
//! are secret: [`Resolver`] is what there is, [`Resolved`] tells systemd-resolved
//! about the tunnel link.

mod bus;
mod conf;
mod keeper;
mod link_settings;
mod neighbours;
mod resolved;
mod surroundings;

use std::net::IpAddr;

pub use bus::BusError;
pub use conf::ResolvConf;
pub use keeper::{Keeper, ResolvedMode};
pub use link_settings::{LinkChange, LinkResolver};
pub use resolved::{Resolved, ResolvedError, Settled};
pub use surroundings::{DnsModes, Protection, Surroundings, watch_resolver_files};

/// The host's resolver settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// Who writes `/etc/resolv.conf`.
    pub keeper: Keeper,
    /// Whom programs ask in the end.
    pub asked: Asked,
    /// What the file says; `None` if there is none, or its link leads nowhere.
    pub conf: Option<ResolvConf>,
    /// Servers with private addresses that the host was told of, three at most.
    pub private_servers: Vec<IpAddr>,
    /// What keeps the file from being replaced.
    pub protection: Option<Protection>,
    /// Whether systemd-resolved runs, be it asked or not.
    pub has_resolved: bool,
    /// How NetworkManager treats the resolver settings, if it runs.
    pub network_manager: Option<DnsModes>,
}

/// Whom programs ask for names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// systemd-resolved, by its stub address or by its library.
    Resolved,
    /// A program of this machine that listens on a loopback address.
    Local,
    /// Servers on the network, which vpnm answers for.
    Network,
    /// Nobody is named. Programs then ask a loopback address, where vpnm answers.
    Nobody,
}

impl Resolver {
    /// Reads the settings of this host.
    #[must_use]
    pub fn read() -> Self {
        Self::of(&Surroundings::read())
    }

    /// Concludes them from what was found.
    #[must_use]
    pub fn of(found: &Surroundings) -> Self {
        let conf = found.conf();
        Self {
            keeper: Keeper::of(found),
            asked: asked(found, conf.as_ref()),
            conf,
            private_servers: neighbours::private_servers(found),
            protection: found.protection,
            has_resolved: found.has_resolved,
            network_manager: found.network_manager.clone(),
        }
    }
}

fn asked(found: &Surroundings, conf: Option<&ResolvConf>) -> Asked {
    if found.has_resolved && found.asks_by_library() {
        return Asked::Resolved;
    }
    let servers = conf.map(|conf| conf.servers.as_slice()).unwrap_or_default();
    let all = |is: fn(&IpAddr) -> bool| servers.iter().all(is);
    match servers {
        [] => Asked::Nobody,
        _ if all(is_stub) => Asked::Resolved,
        _ if all(IpAddr::is_loopback) => Asked::Local,
        _ => Asked::Network,
    }
}

/// The addresses on which systemd-resolved listens.
fn is_stub(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if matches!(ip.octets(), [127, 0, 0, 53 | 54]))
}

#[cfg(test)]
mod tests;
