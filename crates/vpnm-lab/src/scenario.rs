//! Ways in which a tunnel may leak: rows of steps, and the drill that runs
//! them under a hail of probes.

mod crash;
mod drill;
mod flows;
mod protection;
mod rows;
mod service;
mod soak;
mod step;

pub use drill::{Asked, run};
pub use protection::Protection;
pub use rows::{NOT_RUN, rows};
pub use soak::{Finding, Gap, Probes, Report as SoakReport, Times, soak};
pub use step::Step;

use vpnm_world::User;
use vpnm_world::probe::{Class, Kind};

/// One scenario.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its number in the matrix; stable.
    pub number: u8,
    /// What happens, in a few words.
    pub name: &'static str,
    /// Who probes.
    pub user: User,
    /// Which probes are fired; none means all.
    pub only: &'static [Kind],
    /// Kinds that the row is about: each is fired as often as a class is.
    pub focus: &'static [Kind],
    /// What happens before there is a tunnel.
    pub before: &'static [Step],
    /// What happens to the tunnel, while probes are fired. The probes asked
    /// for are spread evenly over these steps.
    pub attack: &'static [Step],
    /// Puts the machine right again, where the attack was on the machine and
    /// not on the tunnel.
    pub undo: &'static [Step],
    /// What must be true at last.
    pub aftermath: Aftermath,
    /// Other protections that the story does not suit, and why.
    pub unsuited: &'static [(Protection, &'static str)],
    /// How the attack is taken back and made again, where service under it is to be
    /// compared with service without.
    pub turns: Option<Turns>,
}

/// Takes an attack back and makes it again.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    /// Takes it back.
    pub off: &'static [Step],
    /// Makes it again.
    pub on: &'static [Step],
}

/// Rows in which something is killed, stopped or cut off take more probes.
const OF_DEATHS: std::ops::RangeInclusive<u8> = 1..=8;
const MORE: u64 = 5;

impl Row {
    /// Probes of every kind, where an ordinary row takes `ordinary`.
    #[must_use]
    pub fn quota(&self, ordinary: u64) -> u64 {
        if OF_DEATHS.contains(&self.number) {
            ordinary * MORE
        } else {
            ordinary
        }
    }

    /// Why its story does not suit a protection, if it does not.
    #[must_use]
    pub fn unsuited_to(&self, protection: Protection) -> Option<&'static str> {
        let mut unsuited = self.unsuited.iter();
        unsuited.find_map(|(other, why)| (*other == protection).then_some(*why))
    }

    /// Kinds by what they are counted as: classes, and each kind in focus.
    #[must_use]
    pub fn groups(&self) -> Vec<(&'static str, Vec<Kind>)> {
        let taken = |kind: &Kind| self.only.is_empty() || self.only.contains(kind);
        let classes = Class::ALL.into_iter().map(|class| {
            let kinds = class.kinds();
            let common = kinds.filter(|kind| taken(kind) && !self.focus.contains(kind));
            (class.name(), common.collect::<Vec<_>>())
        });
        let focus = self.focus.iter().map(|kind| (kind.name(), vec![*kind]));
        let groups = classes.chain(focus);
        groups.filter(|(_, kinds)| !kinds.is_empty()).collect()
    }
}

/// How a scenario must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// The tunnel is back and carries traffic.
    Connected,
    /// The machine is still closed; `vpnm cleanup` opens it.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_in_one_group() {
        for row in rows() {
            let groups = row.groups();
            let mut kinds: Vec<Kind> = groups.into_iter().flat_map(|(_, kinds)| kinds).collect();
            let all = if row.only.is_empty() {
                Kind::ALL.len()
            } else {
                row.only.len()
            };
            assert_eq!(kinds.len(), all, "{}", row.name);
            kinds.sort_unstable();
            kinds.dedup();
            assert_eq!(kinds.len(), all, "{}", row.name);
        }
    }
}
