//! Queries that cannot be routed into the tunnel link.

use super::chain::{DESTINATION_NAT, accept, inet_rule};
use super::endpoints::servers;
use super::matching::{Action, Match};
use super::scope::{LINK_LOCAL_6, TO_PORT};
use super::setting::Setting;
use crate::desired::Tunnel;
use crate::names::LINK;
use crate::nft::{Chain, Hook, Verdict};
use crate::rtnl::Family;

/// Brings home the queries that cannot be routed into the link because their
/// socket is tied to another interface.
pub(super) fn redirect(tunnel: &Tunnel, setting: &Setting) -> Chain {
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
    // An answer is taken only if it comes by the link that was asked: not one by the
    // loopback link, but one of that link's own address, which the query is from.
    let link_local = [Match::Version(Family::V6), Match::To(LINK_LOCAL_6), dns];
    rules.push(inet_rule(
        "queries to link-local resolvers",
        &link_local,
        Action::ToSource(tunnel.dns_port),
    ));
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
