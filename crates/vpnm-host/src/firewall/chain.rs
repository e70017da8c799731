//! What all chains have in common.

use super::matching::{Action, Match, rule};
use crate::nft::{Chain, Hook, Rule, TableFamily, Verdict};

/// Behind conntrack (-200), where the state of a connection is known.
pub(super) const AFTER_CONNTRACK: i32 = -199;
/// Where destinations are changed.
pub(super) const DESTINATION_NAT: i32 = -100;
/// Where filters sit.
pub(super) const FILTER: i32 = 0;
/// Behind everything that may change a packet's route.
pub(super) const LAST: i32 = 300;

/// A chain whose policy is to drop what no rule accepts.
pub(super) fn filter(name: &str, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
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

/// A chain whose last rule drops what none before it accepts.
///
/// The policy would do the same, but the kernel sets that of a new chain an instant after
/// its rules are in force, when the chain in whose place it comes is already gone: in
/// between, what no rule names passes (Linux 6.18, seen under a flood of raw frames).
pub(super) fn closed(
    family: TableFamily,
    name: &str,
    hook: Hook,
    priority: i32,
    mut rules: Vec<Rule>,
) -> Chain {
    rules.push(rule(family, "everything else", &[], Action::Drop));
    filter(name, hook, priority, rules)
}

/// A rule of the inet table.
pub(super) fn inet_rule(comment: &str, matches: &[Match<'_>], action: Action) -> Rule {
    rule(TableFamily::Inet, comment, matches, action)
}

/// A rule of the inet table that accepts.
pub(super) fn accept(comment: &str, matches: &[Match<'_>]) -> Rule {
    inet_rule(comment, matches, Action::Accept)
}
