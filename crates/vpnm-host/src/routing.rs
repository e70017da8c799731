//! The rules and routes of each desired state.
//!
//! For the user's packets the rules never ask the main table for a default route:
//! what DHCP, router advertisements or an attacker on the link put there has no
//! effect. The engine's packets ask nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::desired::{Desired, Guard, Lan, Transport};
use crate::firewall::{LAN_GROUPS, LAN_PREFIXES};
use crate::kernel::{CONGESTION, KernelFacts};
use crate::names::{LINK, PROTOCOL, REPLY_MARK, ROUTE_TABLE};
use crate::rtnl::{Family, LinkName, Lookup, MAIN_TABLE, Prefix, Route, RouteKind, Rule, Selector};

/// Priorities inside the reserved range, in the order they are asked.
mod priority {
    pub(super) const REPLIES: u32 = 7600;
    pub(super) const ENGINE: u32 = 7601;
    pub(super) const ENGINE_ELSEWHERE: u32 = 7602;
    pub(super) const REVERSE_PATH: u32 = 7603;
    pub(super) const FORWARDED: u32 = 7604;
    pub(super) const DNS_UDP: u32 = 7605;
    pub(super) const DNS_TCP: u32 = 7606;
    pub(super) const LINK_LOCAL: u32 = 7610;
    pub(super) const LAN: u32 = 7611;
    pub(super) const INSIDE: u32 = 7612;
    pub(super) const EVERYTHING: u32 = 7618;
    pub(super) const NEXT_HOP: u32 = 7619;
    pub(super) const BACKSTOP: u32 = 7620;
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The metric of the way into the tunnel; any below the backstop's does.
const TUNNEL_METRIC: u32 = 1024;
/// The last route to be taken.
const BACKSTOP_METRIC: u32 = u32::MAX;

const LINK_LOCAL: [Prefix; 2] = [
    Prefix::new(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
];

/// The families whose rules and routes can exist.
pub(crate) fn families(facts: &KernelFacts) -> &'static [Family] {
    if facts.ipv6 {
        &Family::BOTH
    } else {
        &[Family::V4]
    }
}

/// What the rules depend on besides the desired state.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) facts: &'a KernelFacts,
    /// The addresses of the interfaces other than the tunnel link.
    pub(crate) own: Vec<IpAddr>,
    /// The networks of containers and virtual machines.
    pub(crate) inside: Vec<Prefix>,
}

/// The rules of a desired state, by rising priority.
pub(crate) fn rules(desired: &Desired, surroundings: &Surroundings<'_>) -> Vec<Rule> {
    let facts = surroundings.facts;
    let Some(guard) = desired.guard() else {
        return Vec::new();
    };
    let families = families(facts);
    let mut rules: Vec<Rule> = families
        .iter()
        .flat_map(|family| of_family(*family, guard))
        .collect();
    if desired.tunnels_for_others() {
        rules.extend(families.iter().map(|family| forwarded(*family)));
    }
    let has_family = |network: &&Prefix| families.contains(&network.family());
    let inside = surroundings.inside.iter().filter(has_family);
    rules.extend(inside.map(|network| direct(priority::INSIDE, *network)));
    if facts.strict_reverse_path {
        rules.extend(reverse_path(guard, &surroundings.own));
    }
    rules.sort_unstable();
    rules.dedup();
    rules
}

fn rule(family: Family, priority: u32, selector: Selector, lookup: Lookup) -> Rule {
    Rule {
        priority,
        family,
        selector,
        lookup,
        protocol: PROTOCOL,
    }
}

fn of_family(family: Family, guard: &Guard) -> Vec<Rule> {
    let any = Selector::default();
    let engine = Selector {
        uids: Some((guard.engine, guard.engine)),
        ..any
    };
    let replies = Selector {
        mark: Some(REPLY_MARK),
        ..any
    };
    let dns = |protocol| Selector {
        protocol: Some(protocol),
        port: Some(53),
        ..any
    };
    let main = Lookup::Table(MAIN_TABLE);
    let tunnel = Lookup::Table(ROUTE_TABLE);
    let mut rules = vec![
        rule(family, priority::REPLIES, replies, main),
        rule(family, priority::ENGINE, engine, main),
        // Without a route in main the engine must not fall into its own tunnel.
        rule(
            family,
            priority::ENGINE_ELSEWHERE,
            engine,
            Lookup::Unreachable,
        ),
        rule(family, priority::DNS_UDP, dns(UDP), tunnel),
        rule(family, priority::DNS_TCP, dns(TCP), tunnel),
        rule(family, priority::EVERYTHING, any, tunnel),
        rule(family, priority::BACKSTOP, any, Lookup::Unreachable),
    ];
    if family == Family::V4 {
        // The kernel asks, as uid 0 and for a link only, which link a gateway is on
        // before it takes a route by it. The tunnel table has no answer to that, its
        // routes being global; without one DHCP could set no default route any more.
        let next_hop = Selector {
            uids: Some((0, 0)),
            ..any
        };
        rules.push(rule(
            family,
            priority::NEXT_HOP,
            next_hop,
            Lookup::MainWithoutDefault,
        ));
    }
    let own = |prefix: &Prefix| prefix.family() == family;
    let link_local = LINK_LOCAL.into_iter().filter(own);
    rules.extend(link_local.map(|to| direct(priority::LINK_LOCAL, to)));
    if guard.lan == Lan::Allowed {
        let lan = LAN_PREFIXES.into_iter().chain(LAN_GROUPS);
        let lan = lan
            .filter(own)
            .filter(|prefix| !LINK_LOCAL.contains(prefix));
        rules.extend(lan.map(|to| direct(priority::LAN, to)));
    }
    rules
}

/// A destination that is reached directly, if a route other than a default route
/// leads there.
fn direct(priority: u32, to: Prefix) -> Rule {
    let selector = Selector {
        to: Some(to),
        ..Selector::default()
    };
    rule(to.family(), priority, selector, Lookup::MainWithoutDefault)
}

/// What comes out of the tunnel for others goes to where they are. Who is answered,
/// and by which interfaces, is the packet filter's to say.
fn forwarded(family: Family) -> Rule {
    let selector = Selector {
        link: Some(LinkName::new(LINK)),
        ..Selector::default()
    };
    rule(
        family,
        priority::FORWARDED,
        selector,
        Lookup::MainWithoutDefault,
    )
}

/// The strict reverse path filter asks, as uid 0 and from the address a packet came
/// to, which way an answer would go: to a server, or, for an ICMP error, to any router
/// on the way. A program's packet has no source address before its route is known,
/// unless the program insists on one; then the packet filter refuses it.
fn reverse_path<'a>(guard: &'a Guard, own: &'a [IpAddr]) -> impl Iterator<Item = Rule> + 'a {
    let own = own.iter().filter(|ip| ip.is_ipv4() && !ip.is_loopback());
    own.flat_map(|ip| {
        let asked = Selector {
            uids: Some((0, 0)),
            from: Some(Prefix::host(*ip)),
            ..Selector::default()
        };
        let errors = Selector {
            protocol: Some(ICMP),
            ..asked
        };
        let servers = guard.endpoints.iter().filter_map(move |endpoint| {
            let ip = endpoint.ip.to_canonical();
            ip.is_ipv4().then_some(Selector {
                to: Some(Prefix::host(ip)),
                protocol: Some(match endpoint.transport {
                    Transport::Tcp => TCP,
                    Transport::Udp => UDP,
                }),
                port: Some(endpoint.port),
                ..asked
            })
        });
        let main = Lookup::Table(MAIN_TABLE);
        let selectors = servers.chain([errors]);
        selectors.map(move |selector| rule(Family::V4, priority::REVERSE_PATH, selector, main))
    })
}

/// The routes that answer what no other route does, for each family.
pub(crate) fn backstops(desired: &Desired, facts: &KernelFacts) -> Vec<Route> {
    if desired.guard().is_none() {
        return Vec::new();
    }
    let route = |family: &Family| Route {
        table: ROUTE_TABLE,
        destination: family.any(),
        metric: BACKSTOP_METRIC,
        kind: RouteKind::Unreachable,
    };
    families(facts).iter().map(route).collect()
}

/// The routes into the tunnel link, for each family.
pub(crate) fn entrances(desired: &Desired, facts: &KernelFacts, link: u32) -> Vec<Route> {
    if desired.tunnel().is_none() {
        return Vec::new();
    }
    let usable = |family: &&Family| **family == Family::V4 || facts.ipv6_on_link;
    let route = |family: &Family| Route {
        table: ROUTE_TABLE,
        destination: family.any(),
        metric: TUNNEL_METRIC,
        kind: RouteKind::Link {
            link,
            gateway: false,
            congestion: facts.cubic.then(|| CONGESTION.to_owned()),
        },
    };
    families(facts).iter().filter(usable).map(route).collect()
}
