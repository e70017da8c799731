//! The network below the tunnel: when it changes, old connections are of no use.

use std::collections::BTreeSet;
use std::net::IpAddr;

use vpnm_host::{Observed, Route, RouteKind, names};

/// Bits of an IPv6 address that name its network; the rest changes by itself.
const NETWORK_BITS: u32 = 64;

/// The way out of this machine, for each family of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Uplink {
    v4: Way,
    v6: Way,
}

/// The links by which everything leaves, and the networks on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Way {
    links: BTreeSet<u32>,
    networks: BTreeSet<IpAddr>,
}

impl Uplink {
    /// What a look at the host shows.
    pub(crate) fn of(observed: &Observed) -> Self {
        Self {
            v4: Way::of(observed, IpAddr::is_ipv4),
            v6: Way::of(observed, IpAddr::is_ipv6),
        }
    }

    /// Whether connections to `server` made on `earlier` may lead nowhere on this one:
    /// the way out is another, or an address is gone. One more address does no harm,
    /// nor does a second way that is not taken as long as there is the first.
    pub(crate) fn breaks(&self, earlier: &Self, server: Option<IpAddr>) -> bool {
        self.compare(earlier, server).any(|(way, before)| {
            before.is_there()
                && (way.links != before.links || !way.networks.is_superset(&before.networks))
        })
    }

    /// Whether there is a way to `server` that was not there on `earlier`.
    pub(crate) fn opens(&self, earlier: &Self, server: Option<IpAddr>) -> bool {
        self.compare(earlier, server)
            .any(|(way, before)| way.is_there() && !before.is_there())
    }

    /// Whether there is a way out at all.
    pub(crate) fn is_up(&self) -> bool {
        self.v4.is_there() || self.v6.is_there()
    }

    /// The ways by which `server` can be reached, beside those of before; both while
    /// there is none.
    fn compare<'a>(
        &'a self,
        earlier: &'a Self,
        server: Option<IpAddr>,
    ) -> impl Iterator<Item = (&'a Way, &'a Way)> {
        let v4 = server.is_none_or(|ip| ip.is_ipv4());
        let v6 = server.is_none_or(|ip| ip.is_ipv6());
        let v4 = v4.then_some((&self.v4, &earlier.v4));
        v4.into_iter().chain(v6.then_some((&self.v6, &earlier.v6)))
    }

    /// A way out by links with addresses.
    #[cfg(test)]
    pub(crate) fn on(links: &[(u32, &str)]) -> Self {
        let mut uplink = Self::default();
        for (link, ip) in links {
            let ip: IpAddr = ip.parse().unwrap();
            let way = if ip.is_ipv4() {
                &mut uplink.v4
            } else {
                &mut uplink.v6
            };
            way.links.insert(*link);
            way.networks.insert(network(ip));
        }
        uplink
    }
}

impl Way {
    /// Only the best default routes count, and of those only the ones whose link has a
    /// carrier: the kernel keeps the route of a cable that was pulled.
    fn of(observed: &Observed, is_family: impl Fn(&IpAddr) -> bool) -> Self {
        let has_carrier = |link: u32| {
            observed
                .links
                .iter()
                .any(|known| known.index == link && known.carrier)
        };
        let routes = observed.routes.iter().filter_map(way_out);
        let ways = routes.filter(|(ip, _, link)| is_family(ip) && has_carrier(*link));
        let ways: Vec<(IpAddr, u32, u32)> = ways.collect();
        let best = ways.iter().map(|(_, metric, _)| *metric).min();
        let taken = ways.iter().filter(|(_, metric, _)| Some(*metric) == best);
        let links: BTreeSet<u32> = taken.map(|(_, _, link)| *link).collect();
        let on_them = observed
            .addresses
            .iter()
            .filter(|address| links.contains(&address.link) && is_family(&address.prefix.ip));
        Self {
            networks: on_them.map(|address| network(address.prefix.ip)).collect(),
            links,
        }
    }

    fn is_there(&self) -> bool {
        !self.links.is_empty()
    }
}

/// The destination, metric and link of a default route that is not ours.
fn way_out(route: &Route) -> Option<(IpAddr, u32, u32)> {
    match route.kind {
        RouteKind::Link { link, .. } if route.table != names::ROUTE_TABLE => {
            Some((route.destination.ip, route.metric, link))
        }
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

    const SERVER: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 10)));

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
        let more = Uplink::on(&[(2, "192.0.2.7"), (2, "192.0.2.8")]);
        assert!(!home.breaks(&home, SERVER));
        assert!(!more.breaks(&home, SERVER), "one more address");
        assert!(home.breaks(&more, SERVER), "an address is gone");
        assert!(
            Uplink::on(&[(2, "192.0.2.7"), (3, "192.0.2.7")]).breaks(&home, SERVER),
            "a second way that is as good"
        );
        assert!(Uplink::on(&[(2, "192.0.2.8")]).breaks(&home, SERVER));
    }

    #[test]
    fn only_the_family_of_the_server_counts() {
        let both = Uplink::on(&[(2, "192.0.2.7"), (2, "2001:db8::7")]);
        let v4 = Uplink::on(&[(2, "192.0.2.7")]);
        let v6 = Uplink::on(&[(2, "2001:db8::7")]);
        assert!(!v4.breaks(&both, SERVER) && v4.breaks(&both, None));
        assert!(v6.breaks(&both, SERVER));
        assert!(!both.breaks(&v6, SERVER), "what was not there is not gone");
        assert!(both.opens(&v6, SERVER));
        assert!(!both.opens(&v4, SERVER) && both.opens(&v4, None));
    }
}
