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

/// The links by which everything leaves, and the networks of all links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Way {
    links: BTreeSet<u32>,
    networks: BTreeSet<(u32, IpAddr)>,
}

/// What one network after another costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// No connection.
    Nothing,
    /// Those from these addresses of this machine.
    Part(BTreeSet<IpAddr>),
    /// All of them.
    Everything,
}

impl Uplink {
    /// What a look at the host shows.
    pub(crate) fn of(observed: &Observed) -> Self {
        Self {
            v4: Way::of(observed, IpAddr::is_ipv4),
            v6: Way::of(observed, IpAddr::is_ipv6),
        }
    }

    /// Which connections to `server` that were made on `earlier` lead nowhere on this one:
    /// those from addresses that are gone, or whose link is no way out any more. `used` are
    /// the addresses they began with; where that is not known, all are taken to be lost
    /// when the way may be another.
    pub(crate) fn loses(
        &self,
        earlier: &Self,
        server: Option<IpAddr>,
        used: Option<&BTreeSet<IpAddr>>,
    ) -> Loss {
        let Some(used) = used else {
            return if self.is_moved(earlier, server) {
                Loss::Everything
            } else {
                Loss::Nothing
            };
        };
        let is_meant = |ip: &&IpAddr| server.is_none_or(|server| server.is_ipv4() == ip.is_ipv4());
        let (kept, lost): (BTreeSet<IpAddr>, BTreeSet<IpAddr>) = used
            .iter()
            .filter(is_meant)
            .partition(|ip| self.carries(earlier, **ip));
        match (lost.is_empty(), kept.is_empty()) {
            (true, _) => Loss::Nothing,
            (false, true) => Loss::Everything,
            (false, false) => Loss::Part(lost),
        }
    }

    /// Whether what began with this address on `earlier` goes on: by the link that had it.
    fn carries(&self, earlier: &Self, local: IpAddr) -> bool {
        let (way, before) = if local.is_ipv4() {
            (&self.v4, &earlier.v4)
        } else {
            (&self.v6, &earlier.v6)
        };
        let network = network(local);
        let had: Vec<u32> = before.links_with(network).collect();
        let mut has = way.links_with(network);
        has.any(|link| {
            let was_way = before.links.contains(&link);
            // It may have begun after that look.
            (had.is_empty() || had.contains(&link)) && (!was_way || way.links.contains(&link))
        })
    }

    /// Whether the way to `server` is another than on `earlier`, or an address on it is
    /// gone. One more address is nothing, nor is a second way that is not taken as long as
    /// there is the first.
    pub(crate) fn is_moved(&self, earlier: &Self, server: Option<IpAddr>) -> bool {
        self.compare(earlier, server).any(|(way, before)| {
            let own = |network: &&(u32, IpAddr)| before.links.contains(&network.0);
            let mut networks = before.networks.iter().filter(own);
            before.is_there()
                && (way.links != before.links
                    || networks.any(|network| !way.networks.contains(network)))
        })
    }

    /// Whether everything leaves for `server` by other links than on `earlier`.
    pub(crate) fn is_another_way(&self, earlier: &Self, server: Option<IpAddr>) -> bool {
        self.compare(earlier, server)
            .any(|(way, before)| before.is_there() && way.links != before.links)
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
            way.networks.insert((*link, network(ip)));
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
        let addresses = observed
            .addresses
            .iter()
            .filter(|address| has_carrier(address.link) && is_family(&address.prefix.ip));
        Self {
            networks: addresses
                .map(|address| (address.link, network(address.prefix.ip)))
                .collect(),
            links,
        }
    }

    /// The links that have an address of this network.
    fn links_with(&self, network: IpAddr) -> impl Iterator<Item = u32> {
        let with = self.networks.iter().filter(move |one| one.1 == network);
        with.map(|(link, _)| *link)
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
    fn what_is_gone_or_another_way_out_is_a_move() {
        let home = Uplink::on(&[(2, "192.0.2.7")]);
        let more = Uplink::on(&[(2, "192.0.2.7"), (2, "192.0.2.8")]);
        assert!(!home.is_moved(&home, SERVER));
        assert!(!more.is_moved(&home, SERVER), "one more address");
        assert!(home.is_moved(&more, SERVER), "an address is gone");
        assert!(
            Uplink::on(&[(2, "192.0.2.7"), (3, "192.0.2.7")]).is_moved(&home, SERVER),
            "a second way that is as good"
        );
        assert!(Uplink::on(&[(2, "192.0.2.8")]).is_moved(&home, SERVER));
    }

    fn addresses(list: &[&str]) -> BTreeSet<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn only_an_address_that_is_used_and_gone_costs_connections() {
        type Links = &'static [(u32, &'static str)];
        const HOME: Links = &[(2, "192.0.2.7")];
        const TWO: Links = &[(2, "192.0.2.7"), (2, "192.0.2.8")];
        const BOTH: Links = &[(2, "192.0.2.7"), (3, "198.51.100.9")];
        const ROAD: Links = &[(3, "198.51.100.9")];
        let part = |list| Loss::Part(addresses(list));
        let cases: [(&str, Links, Links, &[&str], Loss); 13] = [
            (
                "nothing happened",
                HOME,
                HOME,
                &["192.0.2.7"],
                Loss::Nothing,
            ),
            ("one more", HOME, TWO, &["192.0.2.7"], Loss::Nothing),
            ("another's", TWO, HOME, &["192.0.2.7"], Loss::Nothing),
            ("its own", TWO, HOME, &["192.0.2.8"], Loss::Everything),
            (
                "one of two",
                TWO,
                HOME,
                &["192.0.2.7", "192.0.2.8"],
                part(&["192.0.2.8"]),
            ),
            ("a second way", HOME, BOTH, &["192.0.2.7"], Loss::Nothing),
            ("the other way", BOTH, HOME, &["192.0.2.7"], Loss::Nothing),
            ("its way", BOTH, ROAD, &["192.0.2.7"], Loss::Everything),
            (
                "one of two ways",
                BOTH,
                ROAD,
                &["192.0.2.7", "198.51.100.9"],
                part(&["192.0.2.7"]),
            ),
            ("no connection", HOME, ROAD, &[], Loss::Nothing),
            (
                "the same address elsewhere",
                HOME,
                &[(3, "192.0.2.7")],
                &["192.0.2.7"],
                Loss::Everything,
            ),
            (
                "it began since",
                HOME,
                BOTH,
                &["198.51.100.9"],
                Loss::Nothing,
            ),
            (
                "one of the other family, which leads elsewhere",
                &[(2, "192.0.2.7"), (2, "2001:db8::7")],
                HOME,
                &["192.0.2.7", "2001:db8::7"],
                Loss::Nothing,
            ),
        ];
        for (what, before, now, used, loss) in cases {
            let (before, now) = (Uplink::on(before), Uplink::on(now));
            let used = addresses(used);
            assert_eq!(now.loses(&before, SERVER, Some(&used)), loss, "{what}");
        }
    }

    #[test]
    fn a_route_of_its_own_needs_no_default_one() {
        // The second link is no way out: who uses its address goes by a route of its own.
        let mut before = Uplink::on(&[(2, "192.0.2.7")]);
        before
            .v4
            .networks
            .insert((3, "198.51.100.9".parse().unwrap()));
        let mut now = Uplink::on(&[(4, "203.0.113.5")]);
        let used = addresses(&["198.51.100.9"]);
        assert_eq!(now.loses(&before, SERVER, Some(&used)), Loss::Everything);
        now.v4.networks.insert((3, "198.51.100.9".parse().unwrap()));
        assert_eq!(now.loses(&before, SERVER, Some(&used)), Loss::Nothing);
    }

    #[test]
    fn where_it_is_not_known_what_is_used_every_move_costs_all() {
        let home = Uplink::on(&[(2, "192.0.2.7")]);
        let more = Uplink::on(&[(2, "192.0.2.7"), (2, "192.0.2.8")]);
        assert_eq!(home.loses(&more, SERVER, None), Loss::Everything);
        assert_eq!(more.loses(&home, SERVER, None), Loss::Nothing);
    }

    #[test]
    fn only_the_family_of_the_server_counts() {
        let both = Uplink::on(&[(2, "192.0.2.7"), (2, "2001:db8::7")]);
        let v4 = Uplink::on(&[(2, "192.0.2.7")]);
        let v6 = Uplink::on(&[(2, "2001:db8::7")]);
        assert!(!v4.is_moved(&both, SERVER) && v4.is_moved(&both, None));
        assert!(v6.is_moved(&both, SERVER));
        assert!(
            !both.is_moved(&v6, SERVER),
            "what was not there is not gone"
        );
        assert!(both.opens(&v6, SERVER));
        assert!(!both.opens(&v4, SERVER) && both.opens(&v4, None));
    }
}
