//! What may come in.

use std::net::IpAddr;

use super::chain::{AFTER_CONNTRACK, FILTER, accept, filter, inet_rule};
use super::endpoints::peers;
use super::matching::{Action, ESTABLISHED, ICMP, ICMP6, Match, RELATED, UDP, rule};
use super::scope::{LAN_PREFIXES, LINK_LOCAL_6};
use crate::desired::{Guard, Lan, Tunnel};
use crate::names::{LINK, REPLY_MARK};
use crate::nft::{Chain, Hook, Rule, Table, TableFamily, Verdict};
use crate::rtnl::{Family, Prefix};

/// Marks what servers send, so that reverse path filters find the way it came.
pub(super) fn prerouting() -> Chain {
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
