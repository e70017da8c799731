//! What passes through this host.

use std::collections::BTreeSet;

use super::chain::{FILTER, accept, filter, inet_rule};
use super::matching::{Action, ESTABLISHED, Key, Match, RELATED, interface};
use super::neighbours::Neighbours;
use super::scope::{LAN_PREFIXES, TO_PORT};
use crate::desired::{Guard, Lan};
use crate::interfaces::Interfaces;
use crate::names::LINK;
use crate::nft::{Chain, Expression, Field, Hook, MetaKey, RejectWith, Rule, Set, Table};

const INSIDE: &str = "inside";
const SERVED: &str = "served";
const UPLINKS: &str = "uplinks";
/// The name of the chain that judges what passes through.
const FORWARD: &str = "forward";

/// It came from a container or a virtual machine of this host.
pub(super) const FROM_INSIDE: Match<'_> = Match::InSet(&[Key::In], INSIDE);
/// It goes to a container or a virtual machine of this host.
pub(super) const TO_INSIDE: Match<'_> = Match::InSet(&[Key::Out], INSIDE);
const FROM_SERVED: Match<'_> = Match::InSet(&[Key::In], SERVED);
const TO_SERVED: Match<'_> = Match::InSet(&[Key::Out], SERVED);
const FROM_UPLINKS: Match<'_> = Match::InSet(&[Key::In], UPLINKS);

/// It is an answer of the tunnel for a host behind this one, by the forward chain's
/// judgement. The hooks behind it do not know any more where it came from.
pub(super) fn answer(mark: u32) -> [Match<'static>; 2] {
    [TO_SERVED, Match::Marked(mark)]
}

/// The mark on answers that a table was made with.
pub(crate) fn mark_of(table: &Table) -> Option<u32> {
    let chains = table.chains.iter().filter(|chain| chain.name == FORWARD);
    let mut rules = chains.flat_map(|chain| &chain.rules);
    rules.find_map(|rule| match rule.expressions.as_slice() {
        [
            ..,
            Expression::Immediate { value, .. },
            Expression::MetaSet {
                key: MetaKey::Mark, ..
            },
        ] => Some(u32::from_ne_bytes(value.as_slice().try_into().ok()?)),
        _ => None,
    })
}

/// The set `inside`: names of bridges to containers and virtual machines.
pub(super) fn inside_set(interfaces: &Interfaces) -> Set {
    name_set(INSIDE, &interfaces.inside)
}

/// The set `served`: names of interfaces whose hosts are led into the tunnel,
/// containers' and those the settings name.
pub(super) fn served_set(interfaces: &Interfaces, named: &[String]) -> Set {
    let servable = interfaces.servable.iter();
    let served = servable.filter(|name| interfaces.served.contains(name) || named.contains(name));
    name_set(SERVED, served)
}

/// The set `uplinks`: names of interfaces that this host leaves its own networks by,
/// or once did. It is also where the next daemon learns them from.
pub(super) fn uplinks_set(interfaces: &Interfaces) -> Set {
    name_set(UPLINKS, &interfaces.uplinks)
}

/// The names of uplinks that a table was made with.
pub(crate) fn uplinks_of(table: &Table) -> impl Iterator<Item = &[u8]> {
    names_in(table, UPLINKS)
}

/// The names in a set of a table's that holds names of interfaces.
pub(super) fn names_in<'a>(table: &'a Table, set: &str) -> impl Iterator<Item = &'a [u8]> {
    let sets = table.sets.iter().filter(move |one| one.name == set);
    let names = sets.flat_map(|set| &set.elements);
    names.map(|name| name.split(|byte| *byte == 0).next().unwrap_or_default())
}

pub(super) fn name_set(name: &str, interfaces: impl IntoIterator<Item = impl AsRef<str>>) -> Set {
    let names = interfaces.into_iter();
    let elements: BTreeSet<Vec<u8>> = names.map(|name| interface(name.as_ref())).collect();
    Set {
        name: name.to_owned(),
        fields: vec![Field::Interface],
        elements,
    }
}

/// `mark` is that on answers, if the tunnel carries what is forwarded.
pub(super) fn forward(guard: &Guard, neighbours: &Neighbours<'_>, mark: Option<u32>) -> Chain {
    // Also what a bridge passes from port to port, where it shows that to filters.
    let mut rules = vec![accept(
        "from container to container",
        &[FROM_INSIDE, TO_INSIDE],
    )];
    rules.extend(neighbours.led_in(mark));
    rules.extend(mark.into_iter().flat_map(tunnelled));
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
    filter(FORWARD, Hook::Forward, FILTER, rules)
}

/// Those served are led into the tunnel, and it answers them; it opens nothing.
fn tunnelled(mark: u32) -> Vec<Rule> {
    let answer = [
        Match::In(LINK),
        TO_SERVED,
        Match::State(ESTABLISHED | RELATED),
    ];
    vec![
        refused(
            "who is where this host goes out is not served",
            &[FROM_UPLINKS, Match::Out(LINK)],
        ),
        accept("into the tunnel", &[FROM_SERVED, Match::Out(LINK)]),
        inet_rule("answers of the tunnel", &answer, Action::Mark(mark)),
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
