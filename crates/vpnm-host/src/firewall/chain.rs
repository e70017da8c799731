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

/// A chain that drops what no rule accepts.
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

/// A rule of the inet table.
pub(super) fn inet_rule(comment: &str, matches: &[Match<'_>], action: Action) -> Rule {
    rule(TableFamily::Inet, comment, matches, action)
}

/// A rule of the inet table that accepts.
pub(super) fn accept(comment: &str, matches: &[Match<'_>]) -> Rule {
    inet_rule(comment, matches, Action::Accept)
}
