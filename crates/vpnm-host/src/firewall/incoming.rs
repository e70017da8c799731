//! What may come in.

use std::net::IpAddr;

use super::chain::{AFTER_CONNTRACK, FILTER, accept, closed, filter, inet_rule};
use super::endpoints::peers;
use super::forwarding::FROM_INSIDE;
use super::matching::{Action, ESTABLISHED, ICMP, ICMP6, Match, RELATED, TCP, UDP, rule};
use super::scope::{LAN_PREFIXES, LINK_LOCAL_6};
use crate::desired::{Guard, Lan, Tunnel};
use crate::names::{LINK, REPLY_MARK};
use crate::nft::{Chain, Hook, Table, TableFamily, Verdict};
use crate::rtnl::{Family, Prefix};

/// Marks what is expected, so that reverse path filters look for the way it came
/// where it came from: the rule for the mark asks the main table.
pub(super) fn prerouting() -> Chain {
    let mark = Action::Mark(REPLY_MARK);
    let mut rules = vec![
        accept("this machine", &[Match::In("lo")]),
        accept("the tunnel", &[Match::In(LINK)]),
        accept("containers", &[FROM_INSIDE]),
    ];
    let expected = expected().into_iter();
    rules.extend(expected.map(|(comment, matches)| inet_rule(comment, &matches, mark)));
    let mut chain = filter("prerouting", Hook::Prerouting, AFTER_CONNTRACK, rules);
    chain.policy = Verdict::Accept;
    chain
}

pub(super) fn input(guard: &Guard, tunnel: Option<&Tunnel>) -> Chain {
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
    // The listener for queries to link-local resolvers has all of this host's addresses.
    for protocol in [TCP, UDP] {
        rules.extend(tunnel.map(|tunnel| {
            let matches = [
                Match::Version(Family::V6),
                Match::Protocol(protocol),
                Match::DestinationPort(tunnel.dns_port),
            ];
            inet_rule("queries from outside", &matches, Action::Drop)
        }));
    }
    rules.push(accept("containers", &[FROM_INSIDE]));
    let expected = expected().into_iter();
    rules.extend(expected.map(|(comment, matches)| accept(comment, &matches)));
    if guard.lan == Lan::Allowed {
        for prefix in LAN_PREFIXES.into_iter().chain([LINK_LOCAL_6]) {
            let matches = [Match::Version(prefix.family()), Match::From(prefix)];
            rules.push(accept("the local network", &matches));
        }
    }
    closed(TableFamily::Inet, "input", Hook::Input, FILTER, rules)
}

/// What comes in from outside the tunnel: answers of the servers, errors on the way
/// to them, and what a link needs to exist, DHCP and neighbour discovery.
fn expected() -> Vec<(&'static str, Vec<Match<'static>>)> {
    let v4 = Match::Version(Family::V4);
    let v6 = Match::Version(Family::V6);
    let answer = |family| {
        vec![
            Match::Version(family),
            peers(family),
            Match::State(ESTABLISHED),
        ]
    };
    let error = |protocol| vec![Match::Protocol(protocol), Match::State(RELATED)];
    let ports = |from, to| {
        [
            Match::Protocol(UDP),
            Match::SourcePort(from),
            Match::DestinationPort(to),
        ]
    };
    let discovery = |kind| {
        vec![
            v6,
            Match::Protocol(ICMP6),
            Match::HopLimit(255),
            Match::IcmpType(kind),
        ]
    };
    vec![
        ("answers of the servers", answer(Family::V4)),
        ("answers of the servers", answer(Family::V6)),
        ("errors on the way to the servers", error(ICMP)),
        ("errors on the way to the servers", error(ICMP6)),
        ("DHCP", [&[v4][..], &ports(67, 68)].concat()),
        (
            "DHCPv6",
            [&[v6, Match::From(LINK_LOCAL_6)][..], &ports(547, 546)].concat(),
        ),
        ("router advertisement", discovery(134)),
        ("neighbour solicitation", discovery(135)),
        ("neighbour advertisement", discovery(136)),
    ]
}

/// Keeps the host from answering ARP requests for the tunnel's address.
pub(super) fn arp(tunnel: &Tunnel) -> Table {
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
