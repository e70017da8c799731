//! The network below the tunnel: when it changes, old connections are of no use.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vpnm_host::{Observed, Route, RouteKind, names};

/// Bits of an IPv6 address that name its network; the rest changes by itself.
const NETWORK_BITS: u32 = 64;

/// The links with a default route and the networks on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uplink {
    links: BTreeSet<u32>,
    addresses: BTreeSet<IpAddr>,
}

impl Uplink {
    /// What a look at the host shows.
    pub(crate) fn of(observed: &Observed) -> Self {
        // Only links with a default route count: a container's bridge that comes
        // and goes is nobody's way out.
        let links: BTreeSet<u32> = observed.routes.iter().filter_map(way_out).collect();
        let on_them = observed
            .addresses
            .iter()
            .filter(|a| links.contains(&a.link));
        Self {
            addresses: on_them.map(|a| network(a.prefix.ip)).collect(),
            links,
        }
    }

    /// Whether connections made on `earlier` may lead nowhere on this one: the way
    /// out is another, or an address is gone. One more address does no harm.
    pub(crate) fn breaks(&self, earlier: &Self) -> bool {
        self.links != earlier.links || !self.addresses.is_superset(&earlier.addresses)
    }

    /// A network of links and addresses.
    #[cfg(test)]
    pub(crate) fn on(links: &[(u32, &str)]) -> Self {
        Self {
            links: links.iter().map(|(link, _)| *link).collect(),
            addresses: links.iter().filter_map(|(_, ip)| ip.parse().ok()).collect(),
        }
    }

    /// Whether there is a way out at all.
    pub(crate) fn is_up(&self) -> bool {
        !self.links.is_empty()
    }
}

/// The link of a default route that is not ours.
fn way_out(route: &Route) -> Option<u32> {
    match route.kind {
        RouteKind::Link { link, .. } if route.table != names::ROUTE_TABLE => Some(link),
        RouteKind::Link { .. } | RouteKind::Unreachable | RouteKind::Other(_) => None,
    }
}

/// The address, or for IPv6 its network: temporary addresses come and go (RFC 8981).
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => {
            let network = v6.to_bits() >> NETWORK_BITS << NETWORK_BITS;
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_address_is_the_same_network() {
        let one: IpAddr = "2001:db8:1:2:aaaa::1".parse().unwrap();
        let two: IpAddr = "2001:db8:1:2:bbbb::2".parse().unwrap();
        let other: IpAddr = "2001:db8:1:3:aaaa::1".parse().unwrap();
        assert_eq!(network(one), network(two));
        assert_ne!(network(one), network(other));
    }

    #[test]
    fn only_what_is_gone_or_another_way_out_breaks_connections() {
        let home = Uplink::on(&[(2, "192.0.2.7")]);
        let more = Uplink::on(&[(2, "192.0.2.7"), (2, "2001:db8::")]);
        assert!(!home.breaks(&home));
        assert!(!more.breaks(&home), "one more address");
        assert!(home.breaks(&more), "an address is gone");
        assert!(
            Uplink::on(&[(2, "192.0.2.7"), (3, "192.0.2.7")]).breaks(&home),
            "a second way"
        );
        assert!(Uplink::on(&[(2, "192.0.2.8")]).breaks(&home));
    }
}
