//! What passes through this host.

use std::collections::BTreeSet;

use super::chain::{FILTER, accept, filter, inet_rule};
use super::matching::{Action, ESTABLISHED, Key, Match, RELATED, interface};
use super::scope::{LAN_PREFIXES, TO_PORT};
use crate::desired::{Guard, Lan};
use crate::interfaces::Interfaces;
use crate::names::{ANSWER_MARK, LINK};
use crate::nft::{Chain, Field, Hook, RejectWith, Rule, Set};

const INSIDE: &str = "inside";
const SERVED: &str = "served";

/// It came from a container or a virtual machine of this host.
pub(super) const FROM_INSIDE: Match<'_> = Match::InSet(&[Key::In], INSIDE);
/// It goes to a container or a virtual machine of this host.
pub(super) const TO_INSIDE: Match<'_> = Match::InSet(&[Key::Out], INSIDE);
const FROM_SERVED: Match<'_> = Match::InSet(&[Key::In], SERVED);
const TO_SERVED: Match<'_> = Match::InSet(&[Key::Out], SERVED);
/// It is an answer of the tunnel for a host behind this one, by the forward chain's
/// judgement. The hooks behind it do not know any more where it came from.
pub(super) const ANSWER: [Match<'_>; 2] = [TO_SERVED, Match::Marked(ANSWER_MARK)];

/// The set `inside`: names of bridges to containers and virtual machines.
pub(super) fn inside_set(interfaces: &Interfaces) -> Set {
    name_set(INSIDE, &interfaces.inside)
}

/// The set `served`: names of interfaces whose hosts are led into the tunnel.
pub(super) fn served_set(interfaces: &Interfaces) -> Set {
    name_set(SERVED, &interfaces.served)
}

fn name_set(name: &str, interfaces: &[String]) -> Set {
    let elements: BTreeSet<Vec<u8>> = interfaces.iter().map(|name| interface(name)).collect();
    Set {
        name: name.to_owned(),
        fields: vec![Field::Interface],
        elements,
    }
}

/// `for_others` says whether the tunnel carries what is forwarded.
pub(super) fn forward(guard: &Guard, for_others: bool) -> Chain {
    // Also what a bridge passes from port to port, where it shows that to filters.
    let mut rules = vec![accept(
        "from container to container",
        &[FROM_INSIDE, TO_INSIDE],
    )];
    if for_others {
        rules.extend(tunnelled());
    }
    rules.push(refused(
        "nothing else enters the tunnel",
        &[Match::Out(LINK)],
    ));
    let from_tunnel = [Match::In(LINK)];
    rules.push(inet_rule(
        "nothing else leaves the tunnel",
        &from_tunnel,
        Action::Drop,
    ));
    if guard.lan == Lan::Allowed {
        rules.extend(beside_the_tunnel());
    }
    rules.push(refused("everything else", &[]));
    filter("forward", Hook::Forward, FILTER, rules)
}

/// Those served are led into the tunnel, and it answers them; it opens nothing.
fn tunnelled() -> Vec<Rule> {
    let answer = [
        Match::In(LINK),
        TO_SERVED,
        Match::State(ESTABLISHED | RELATED),
    ];
    vec![
        accept("into the tunnel", &[FROM_SERVED, Match::Out(LINK)]),
        inet_rule("answers of the tunnel", &answer, Action::Mark(ANSWER_MARK)),
        accept("answers of the tunnel", &answer),
    ]
}

/// Between containers and the local network, names excepted.
fn beside_the_tunnel() -> Vec<Rule> {
    let mut rules = Vec::new();
    for (set, comment) in [
        ("queries", "names are asked through the tunnel only"),
        ("broadcasts", "names are not asked of neighbours"),
    ] {
        rules.push(refused(comment, &[Match::InSet(TO_PORT, set)]));
    }
    for prefix in LAN_PREFIXES {
        let version = Match::Version(prefix.family());
        let out = [version, FROM_INSIDE, Match::To(prefix)];
        rules.push(accept("from containers to the local network", &out));
        let back = [version, TO_INSIDE, Match::From(prefix)];
        rules.push(accept("from the local network to containers", &back));
    }
    rules
}

fn refused(comment: &str, matches: &[Match<'_>]) -> Rule {
    inet_rule(comment, matches, Action::Reject(RejectWith::Prohibited))
}
