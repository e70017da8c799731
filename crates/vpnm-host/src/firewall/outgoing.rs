//! What may go out beside the tunnel.

use std::net::Ipv4Addr;

use super::chain::{FILTER, LAST, accept, closed, filter, inet_rule};
use super::endpoints::servers;
use super::forwarding::{TO_INSIDE, answer};
use super::matching::{Action, ICMP, ICMP6, Match, TCP, UDP, rule};
use super::neighbours::Neighbours;
use super::scope::{
    ALL_DHCP_SERVERS, ALL_ROUTERS, LAN_GROUPS, LAN_PREFIXES, LINK_LOCAL_6, TO_PORT,
};
use crate::desired::{Guard, Lan, Tunnel};
use crate::names::LINK;
use crate::nft::{Chain, Expression, Hook, RejectWith, Rule, TableFamily, Verdict};
use crate::rtnl::{Family, Prefix};

/// Where programs are told at once that they cannot get out.
pub(super) fn output(guard: &Guard, tunnel: Option<&Tunnel>) -> Chain {
    let mut rules = vec![accept("this machine", &[Match::Out("lo")])];
    if let Some(tunnel) = tunnel {
        rules.push(accept("the tunnel", &[Match::Out(LINK)]));
        // The hook still sees the interface the packet had before the redirect; where
        // it really leaves by, the last hook sees. IPv6 queries to link-local resolvers
        // are redirected to addresses of the interfaces.
        let v4 = [
            Match::Version(Family::V4),
            Match::To(Prefix::host(Ipv4Addr::LOCALHOST.into())),
        ];
        let v6 = [Match::Version(Family::V6)];
        for to in [&v4[..], &v6] {
            for protocol in [TCP, UDP] {
                let port = Match::DestinationPort(tunnel.dns_port);
                let query = [Match::Protocol(protocol), port];
                let matches = [&[Match::Redirected], to, &query].concat();
                rules.push(accept("redirected queries", &matches));
            }
        }
    }
    rules.extend(outward(TableFamily::Inet, guard));
    rules.push(accept("containers", &[TO_INSIDE]));
    rules.push(inet_rule(
        "everything else",
        &[],
        Action::Reject(RejectWith::Prohibited),
    ));
    filter("output", Hook::Output, FILTER, rules)
}

/// Where the interface a packet leaves by is final, whatever others did to its
/// destination, mark or route on the way.
pub(super) fn postrouting(
    guard: &Guard,
    tunnel: Option<&Tunnel>,
    neighbours: &Neighbours<'_>,
    mark: Option<u32>,
) -> Chain {
    let mut rules = vec![accept("this machine", &[Match::Out("lo")])];
    if tunnel.is_some() {
        rules.push(accept("the tunnel", &[Match::Out(LINK)]));
    }
    rules.extend(mark.map(|mark| accept("answers of the tunnel", &answer(mark))));
    rules.extend(neighbours.answered(mark));
    rules.push(accept("containers", &[TO_INSIDE]));
    // Errors can be returned from the output chain only.
    let passing = outward(TableFamily::Inet, guard).into_iter();
    rules.extend(passing.map(silenced));
    closed(
        TableFamily::Inet,
        "postrouting",
        Hook::Postrouting,
        LAST,
        rules,
    )
}

/// The rule with a drop where it rejects: not every hook can answer.
pub(super) fn silenced(mut rule: Rule) -> Rule {
    for expression in &mut rule.expressions {
        if matches!(expression, Expression::Reject(_)) {
            *expression = Expression::Verdict(Verdict::Drop);
        }
    }
    rule
}

/// What may leave by an interface other than the tunnel's.
pub(super) fn outward(family: TableFamily, guard: &Guard) -> Vec<Rule> {
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
    if !guard.serve_uplink.is_empty() {
        rules.extend(redirects().map(|matches| {
            let comment = "no neighbour is shown a way past this host";
            rule(family, comment, &matches, Action::Drop)
        }));
    }
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

/// What the kernel tells a neighbour whose packet would leave by the interface it came
/// by: to send the next one to the router itself (RFC 792, RFC 4861 section 8).
fn redirects() -> impl Iterator<Item = [Match<'static>; 3]> {
    let kinds = [(Family::V4, ICMP, 5), (Family::V6, ICMP6, 137)];
    kinds.into_iter().map(|(version, protocol, kind)| {
        [
            Match::Version(version),
            Match::Protocol(protocol),
            Match::IcmpType(kind),
        ]
    })
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
            Match::IcmpType(kind),
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
