//! Lines of the matrix.

use std::collections::BTreeMap;

use serde::Serialize;
use vpnm_world::capture::Tally;
use vpnm_world::probe::{Attempts, Kind};

use super::Service;

/// One row of the matrix for one kind of probe.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Line {
    /// The row's number.
    pub row: u8,
    /// The row's name.
    pub scenario: &'static str,
    /// The kind of probe; `(no mark)` for frames that do not show theirs:
    /// handshakes, address resolution, traffic of programs. Empty for a row
    /// that was not run.
    pub kind: &'static str,
    /// Probes fired.
    pub attempted: u64,
    /// Of those, refused by the client's own kernel at once.
    pub refused: u64,
    /// Turns in which nothing could be fired, for want of an interface, an
    /// address, a port: not among those fired.
    pub not_fired: u64,
    /// How many ways of probing there are in this kind, fired in turn.
    pub ways: u64,
    /// Probes fired of the way that was fired least.
    pub fewest: u64,
    /// Frames that left outside the tunnel.
    pub leaked: u64,
    /// Frames nobody can vouch for; of the whole row, in its last line.
    pub unaccounted: u64,
    /// What left, if anything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// What is left of service under attack; of the whole row, in its last line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Why the row was not run, or did not pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

const UNMARKED: &str = "(no mark)";

impl Line {
    /// The lines of a row: one for each group of kinds, and one for what shows
    /// no kind.
    #[must_use]
    pub fn of(
        (row, scenario): (u8, &'static str),
        groups: Vec<(&'static str, Vec<Kind>)>,
        attempts: &BTreeMap<Kind, Attempts>,
        tally: &Tally,
    ) -> Vec<Self> {
        let line = |kind| Self {
            row,
            scenario,
            kind,
            ..Self::default()
        };
        let mut lines = Vec::new();
        for (name, kinds) in groups {
            let mut group = line(name);
            group.fewest = u64::MAX;
            for kind in kinds {
                let done = attempts.get(&kind).copied().unwrap_or_default();
                group.ways += 1;
                group.fewest = group.fewest.min(done.attempted);
                group.attempted += done.attempted;
                group.refused += done.refused;
                group.not_fired += done.not_fired;
                group.leaked += tally.markers.get(kind.name()).copied().unwrap_or(0);
            }
            lines.push(group);
        }
        let unmarked = tally.leaked().saturating_sub(leaked(&lines));
        let what: Vec<String> = tally
            .leaks
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        lines.push(Self {
            leaked: unmarked,
            unaccounted: tally.unaccounted(),
            what: what.join(", "),
            ..line(UNMARKED)
        });
        lines
    }

    /// The line of a row that was not run, or did not come to its end.
    #[must_use]
    pub fn failed(row: u8, scenario: &'static str, why: impl Into<String>) -> Self {
        Self {
            row,
            scenario,
            why: why.into(),
            ..Self::default()
        }
    }

    /// Whether at least `probes` were fired, and of each way its equal share.
    #[must_use]
    pub fn is_enough(&self, probes: u64) -> bool {
        self.attempted >= probes && self.fewest * self.ways >= probes
    }

    /// Whether it counts probes of a kind.
    #[must_use]
    pub fn is_of_probes(&self) -> bool {
        !self.kind.is_empty() && self.kind != UNMARKED
    }
}

/// Frames that left, of all lines.
#[must_use]
pub fn leaked(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.leaked).sum()
}

/// Frames nobody can vouch for, of all lines.
#[must_use]
pub fn unaccounted(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.unaccounted).sum()
}

/// Probes fired, of all lines.
#[must_use]
pub fn attempted(lines: &[Line]) -> u64 {
    lines.iter().map(|line| line.attempted).sum()
}

/// A row against something else than the program under test: evidence that the
/// attack bites and the observer sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The row's number.
    pub row: u8,
    /// The row's name.
    pub scenario: &'static str,
    /// What protected the client.
    pub by: String,
    /// Probes fired.
    pub attempted: u64,
    /// Frames that left outside the tunnel.
    pub leaked: u64,
    /// Frames nobody can vouch for.
    pub unaccounted: u64,
    /// Whether the story suits what protected it; if not, it was not run.
    pub applies: bool,
    /// Why it was not run; empty if it was.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// The object for machines: `{"rows": [...], "compared": [...]}`.
///
/// # Errors
///
/// None that can occur: every field has a JSON form.
pub fn json(lines: &[Line], compared: &[Compared]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        rows: &'a [Line],
        compared: &'a [Compared],
    }
    serde_json::to_string(&Report {
        rows: lines,
        compared,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaked_frame_is_in_exactly_one_line() {
        let tally = Tally {
            frames: 7,
            tunnel: 2,
            leaks: BTreeMap::from([("udp".to_owned(), 3), ("arp".to_owned(), 1)]),
            markers: BTreeMap::from([("udp".to_owned(), 3)]),
            ..Tally::default()
        };
        let attempts = BTreeMap::from([(
            Kind::Udp,
            Attempts {
                attempted: 9,
                ..Attempts::default()
            },
        )]);
        let groups = vec![("udp", vec![Kind::Udp]), ("tcp", vec![Kind::Tcp])];
        let lines = Line::of((1, "kill -9 engine"), groups, &attempts, &tally);
        assert_eq!(
            (leaked(&lines), unaccounted(&lines), attempted(&lines)),
            (4, 1, 9)
        );
        assert_eq!(lines[0].leaked, 3);
    }

    #[test]
    fn every_way_of_a_kind_must_have_its_share() {
        let did = |attempted, not_fired| Attempts {
            attempted,
            not_fired,
            ..Attempts::default()
        };
        let groups = || vec![("udp", vec![Kind::Udp, Kind::LargeUdp])];
        let line = |large| {
            let attempts = BTreeMap::from([(Kind::Udp, did(100, 0)), (Kind::LargeUdp, large)]);
            let lines = Line::of((1, "a row"), groups(), &attempts, &Tally::default());
            lines.first().cloned().expect("a line")
        };
        assert!(line(did(50, 0)).is_enough(100));
        let short = line(did(49, 51));
        assert_eq!((short.attempted, short.not_fired), (149, 51));
        assert!(!short.is_enough(100));
    }
}
