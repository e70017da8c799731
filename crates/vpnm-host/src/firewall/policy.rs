//! The tables of each desired state.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Capabilities;
use super::endpoints::{peer_sets, peers, port_set, server_sets, servers};
use super::matching::{Action, ESTABLISHED, ICMP, ICMP6, Key, Match, RELATED, TCP, UDP, rule};
use crate::desired::{Desired, Guard, Lan, Tunnel};
use crate::names::{LINK, REPLY_MARK};
use crate::nft::{Chain, Hook, RejectWith, Rule, Table, TableFamily, Verdict};
use crate::rtnl::{Family, Prefix};

/// What the rules depend on besides the desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) capabilities: Capabilities,
    /// The interfaces besides `lo` and the tunnel link, sorted.
    pub(crate) interfaces: Vec<String>,
    /// Whether something on this host answers DNS queries sent to a loopback address.
    pub(crate) local_resolver: bool,
}

/// Priorities: behind conntrack (-200), where NAT of output happens, where filters
/// sit, and behind everything that may change a packet's route.
const AFTER_CONNTRACK: i32 = -199;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const LAST: i32 = 300;

/// Plain DNS, and DNS over TLS, which a program may fall back to.
const DNS: [(u8, u16); 2] = [(TCP, 53), (UDP, 53)];
const NAME_QUERIES: [(u8, u16); 4] = [(TCP, 53), (UDP, 53), (TCP, 853), (UDP, 853)];
/// Names asked of everybody on the link: mDNS, LLMNR, NetBIOS.
const NAME_BROADCASTS: [(u8, u16); 5] = [
    (UDP, 5353),
    (UDP, 5355),
    (TCP, 5355),
    (UDP, 137),
    (UDP, 138),
];
const TO_PORT: &[Key] = &[Key::Protocol, Key::DestinationPort];

const LINK_LOCAL_6: Prefix =
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Private unicast prefixes, reached directly when the local network is allowed.
pub(crate) const LAN_PREFIXES: [Prefix; 5] = [
    Prefix::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// Multicast and broadcast that stays on the link or the site.
pub(crate) const LAN_GROUPS: [Prefix; 5] = [
    Prefix::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 24),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(239, 0, 0, 0)), 8),
    Prefix::new(IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0)), 16),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0)), 16),
];

/// The tables for a desired state; none when the host is open.
pub(crate) fn tables(desired: &Desired, setting: &Setting) -> Vec<Table> {
    let Some(guard) = desired.guard() else {
        return Vec::new();
    };
    let tunnel = desired.tunnel();
    let mut tables = vec![inet(guard, tunnel, setting)];
    tables.extend(tunnel.map(arp));
    tables.extend(netdev(guard, setting));
    tables
}

fn inet(guard: &Guard, tunnel: Option<&Tunnel>, setting: &Setting) -> Table {
    let mut sets = server_sets(&guard.endpoints).to_vec();
    sets.extend(peer_sets(&guard.endpoints));
    sets.push(port_set("queries", &NAME_QUERIES));
    sets.push(port_set("broadcasts", &NAME_BROADCASTS));
    let mut chains = vec![
        prerouting(),
        input(guard, tunnel),
        filter("forward", Hook::Forward, FILTER, Vec::new()),
        output(guard, tunnel),
        filter(
            "postrouting",
            Hook::Postrouting,
            LAST,
            postrouting(guard, tunnel),
        ),
    ];
    if let Some(tunnel) = tunnel {
        sets.push(port_set("dns", &DNS));
        chains.push(redirect(tunnel, setting));
    }
    Table {
        family: TableFamily::Inet,
        sets,
        chains,
    }
}

fn inet_rule(comment: &str, matches: &[Match<'_>], action: Action) -> Rule {
    rule(TableFamily::Inet, comment, matches, action)
}

fn filter(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain {
        name: name.to_owned(),
        kind: "filter".to_owned(),
        hook,
        priority,
        policy: Verdict::Drop,
        devices: Vec::new(),
        rules,
    }
}

/// Marks what servers send, so that reverse path filters find the way it came.
fn prerouting() -> Chain {
    let mark = |family| {
        let matches = [Match::Version(family), peers(family)];
        inet_rule(
            "answers pass reverse path filters",
            &matches,
            Action::Mark(REPLY_MARK),
        )
    };
    let mut chain = filter(
        "prerouting",
        Hook::Prerouting,
        AFTER_CONNTRACK,
        Family::BOTH.map(mark).to_vec(),
    );
    chain.policy = Verdict::Accept;
    chain
}

fn input(guard: &Guard, tunnel: Option<&Tunnel>) -> Chain {
    let accept = |comment, matches: &[Match<'_>]| inet_rule(comment, matches, Action::Accept);
    let mut rules = vec![accept("this machine", &[Match::In("lo")])];
    if let Some(tunnel) = tunnel {
        rules.push(accept("the tunnel", &[Match::In(LINK)]));
        // Whether a host has a tunnel, and which address, is nobody's business.
        for ip in [
            IpAddr::V4(tunnel.addresses.v4),
            IpAddr::V6(tunnel.addresses.v6),
        ] {
            let matches = [Match::Version(Family::of(ip)), Match::To(Prefix::host(ip))];
            rules.push(inet_rule(
                "the tunnel's address from outside",
                &matches,
                Action::Drop,
            ));
        }
    }
    for family in Family::BOTH {
        let matches = [
            Match::Version(family),
            peers(family),
            Match::State(ESTABLISHED),
        ];
        rules.push(accept("answers of the servers", &matches));
    }
    for protocol in [ICMP, ICMP6] {
        let matches = [Match::Protocol(protocol), Match::State(RELATED)];
        rules.push(accept("errors on the way to the servers", &matches));
    }
    rules.extend(link_input());
    if guard.lan == Lan::Allowed {
        for prefix in LAN_PREFIXES.into_iter().chain([LINK_LOCAL_6]) {
            let matches = [Match::Version(prefix.family()), Match::From(prefix)];
            rules.push(accept("the local network", &matches));
        }
    }
    filter("input", Hook::Input, FILTER, rules)
}

/// What a link needs to exist: answers of DHCP and neighbour discovery.
fn link_input() -> Vec<Rule> {
    let accept = |comment, matches: &[Match<'_>]| inet_rule(comment, matches, Action::Accept);
    let v4 = Match::Version(Family::V4);
    let v6 = Match::Version(Family::V6);
    let mut rules = vec![
        accept(
            "DHCP",
            &[
                v4,
                Match::Protocol(UDP),
                Match::SourcePort(67),
                Match::DestinationPort(68),
            ],
        ),
        accept(
            "DHCPv6",
            &[
                v6,
                Match::From(LINK_LOCAL_6),
                Match::Protocol(UDP),
                Match::SourcePort(547),
                Match::DestinationPort(546),
            ],
        ),
    ];
    for (kind, comment) in [
        (134, "router advertisement"),
        (135, "neighbour solicitation"),
        (136, "neighbour advertisement"),
    ] {
        let matches = [
            v6,
            Match::Protocol(ICMP6),
            Match::HopLimit(255),
            Match::Icmp6Type(kind),
        ];
        rules.push(accept(comment, &matches));
    }
    rules
}

/// Where programs are told at once that they cannot get out.
fn output(guard: &Guard, tunnel: Option<&Tunnel>) -> Chain {
    let accept = |comment, matches: &[Match<'_>]| inet_rule(comment, matches, Action::Accept);
    let mut rules = vec![accept("this machine", &[Match::Out("lo")])];
    if let Some(tunnel) = tunnel {
        rules.push(accept("the tunnel", &[Match::Out(LINK)]));
        // The hook still sees the interface the packet had before the redirect.
        for ip in [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ] {
            for protocol in [TCP, UDP] {
                let matches = [
                    Match::Redirected,
                    Match::Version(Family::of(ip)),
                    Match::To(Prefix::host(ip)),
                    Match::Protocol(protocol),
                    Match::DestinationPort(tunnel.dns_port),
                ];
                rules.push(accept("redirected queries", &matches));
            }
        }
    }
    rules.extend(outward(TableFamily::Inet, guard));
    rules.push(inet_rule(
        "everything else",
        &[],
        Action::Reject(RejectWith::Prohibited),
    ));
    filter("output", Hook::Output, FILTER, rules)
}

/// Where the interface a packet leaves by is final, whatever others did to its
/// destination, mark or route on the way.
fn postrouting(guard: &Guard, tunnel: Option<&Tunnel>) -> Vec<Rule> {
    let accept = |comment, matches: &[Match<'_>]| inet_rule(comment, matches, Action::Accept);
    let mut rules = vec![accept("this machine", &[Match::Out("lo")])];
    if tunnel.is_some() {
        rules.push(accept("the tunnel", &[Match::Out(LINK)]));
    }
    // Errors can be returned from the output chain only.
    let passing = outward(TableFamily::Inet, guard).into_iter();
    rules.extend(passing.map(silenced));
    rules
}

/// The rule with a drop where it rejects: not every hook can answer.
fn silenced(mut rule: Rule) -> Rule {
    use crate::nft::Expression;
    for expression in &mut rule.expressions {
        if matches!(expression, Expression::Reject(_)) {
            *expression = Expression::Verdict(Verdict::Drop);
        }
    }
    rule
}

/// What may leave by an interface other than the tunnel's.
fn outward(family: TableFamily, guard: &Guard) -> Vec<Rule> {
    let mut rules = Vec::new();
    for version in Family::BOTH {
        let matches = [Match::Version(version), servers(version)];
        let comment = "the engine, to its servers";
        rules.push(rule(family, comment, &matches, Action::Accept));
    }
    rules.push(rule(
        family,
        "names are asked through the tunnel only",
        &[Match::InSet(TO_PORT, "queries")],
        Action::Reject(RejectWith::PortUnreachable),
    ));
    rules.push(rule(
        family,
        "names are not asked of neighbours",
        &[Match::InSet(TO_PORT, "broadcasts")],
        Action::Drop,
    ));
    rules.extend(link_outward(family));
    if guard.lan == Lan::Allowed {
        let lan = LAN_PREFIXES
            .into_iter()
            .chain([LINK_LOCAL_6])
            .chain(LAN_GROUPS);
        for prefix in lan {
            let matches = [Match::Version(prefix.family()), Match::To(prefix)];
            rules.push(rule(family, "the local network", &matches, Action::Accept));
        }
    }
    rules
}

/// What a link needs to exist: questions of DHCP and neighbour discovery.
fn link_outward(family: TableFamily) -> Vec<Rule> {
    let accept = |comment, matches: &[Match<'_>]| rule(family, comment, matches, Action::Accept);
    let v4 = Match::Version(Family::V4);
    let v6 = Match::Version(Family::V6);
    let mut dhcp = vec![
        v4,
        Match::To(Prefix::host(Ipv4Addr::BROADCAST.into())),
        Match::Protocol(UDP),
        Match::SourcePort(68),
        Match::DestinationPort(67),
    ];
    // A DHCP client may send raw frames under a uid of its own; on the IP path it
    // is root.
    if family == TableFamily::Inet {
        dhcp.push(Match::SocketUid(0));
    }
    let dhcp6 = [
        v6,
        Match::From(LINK_LOCAL_6),
        Match::To(Prefix::host(ALL_DHCP_SERVERS.into())),
        Match::Protocol(UDP),
        Match::SourcePort(546),
        Match::DestinationPort(547),
    ];
    let discovery = |kind| {
        [
            v6,
            Match::Protocol(ICMP6),
            Match::HopLimit(255),
            Match::Icmp6Type(kind),
        ]
    };
    let mut solicitation = discovery(133).to_vec();
    solicitation.push(Match::To(Prefix::host(ALL_ROUTERS.into())));
    vec![
        accept("DHCP", &dhcp),
        accept("DHCPv6", &dhcp6),
        accept("router solicitation", &solicitation),
        accept("neighbour solicitation", &discovery(135)),
        accept("neighbour advertisement", &discovery(136)),
    ]
}

/// Brings home the queries that cannot be routed into the link because their
/// socket is tied to another interface.
fn redirect(tunnel: &Tunnel, setting: &Setting) -> Chain {
    let accept = |comment, matches: &[Match<'_>]| inet_rule(comment, matches, Action::Accept);
    let dns = Match::InSet(TO_PORT, "dns");
    let to_resolver = Action::Redirect(tunnel.dns_port);
    let mut rules = Vec::new();
    for version in Family::BOTH {
        let matches = [Match::Version(version), servers(version)];
        rules.push(accept("the engine, to its servers", &matches));
    }
    if !setting.local_resolver {
        let matches = [Match::Out("lo"), dns];
        rules.push(inet_rule("no resolver listens here", &matches, to_resolver));
    }
    rules.push(accept("this machine", &[Match::Out("lo")]));
    rules.push(accept("the tunnel", &[Match::Out(LINK)]));
    // An answer from another address than a link-local one would not be taken;
    // glibc waits 5 s for it, and 37 ms when it is refused.
    let link_local = [Match::Version(Family::V6), Match::To(LINK_LOCAL_6)];
    rules.push(accept("link-local resolvers are refused", &link_local));
    rules.push(inet_rule(
        "queries tied to an interface",
        &[dns],
        to_resolver,
    ));
    Chain {
        name: "redirect".to_owned(),
        kind: "nat".to_owned(),
        hook: Hook::Output,
        priority: DESTINATION_NAT,
        policy: Verdict::Accept,
        devices: Vec::new(),
        rules,
    }
}

/// Keeps the host from answering ARP requests for the tunnel's address.
fn arp(tunnel: &Tunnel) -> Table {
    let target = [Match::ArpTarget(tunnel.addresses.v4)];
    let comment = "the tunnel's address from outside";
    let rules = vec![rule(TableFamily::Arp, comment, &target, Action::Drop)];
    let mut chain = filter("input", Hook::Input, FILTER, rules);
    chain.policy = Verdict::Accept;
    Table {
        family: TableFamily::Arp,
        sets: Vec::new(),
        chains: vec![chain],
    }
}

/// EtherTypes that carry nothing of a program's and without which a link does not
/// come up: ARP, the link's own authentication (IEEE 802.1X), link aggregation.
const LINK_PROTOCOLS: [(u16, &str); 3] = [
    (0x0806, "ARP"),
    (0x888e, "802.1X"),
    (0x8809, "link aggregation"),
];

/// Sees every frame, also those that root sends past the IP stack.
fn netdev(guard: &Guard, setting: &Setting) -> Option<Table> {
    // The hook names its interfaces one by one: the wildcard that newer kernels know
    // makes nft before 1.1.6 list the table for ever. An interface that appears is
    // added with the next plan; until then the inet table holds what the IP stack
    // sends.
    if !setting.capabilities.egress || setting.interfaces.is_empty() {
        return None;
    }
    let family = TableFamily::Netdev;
    let accept = |comment, matches: &[Match<'_>]| rule(family, comment, matches, Action::Accept);
    let passing = outward(family, guard).into_iter();
    let mut rules: Vec<Rule> = passing.map(silenced).collect();
    for (number, comment) in LINK_PROTOCOLS {
        rules.push(accept(comment, &[Match::EtherType(number)]));
    }
    let mut sets = server_sets(&guard.endpoints).to_vec();
    sets.push(port_set("queries", &NAME_QUERIES));
    sets.push(port_set("broadcasts", &NAME_BROADCASTS));
    let mut chain = filter("egress", Hook::Egress, FILTER, rules);
    chain.devices.clone_from(&setting.interfaces);
    Some(Table {
        family,
        sets,
        chains: vec![chain],
    })
}
