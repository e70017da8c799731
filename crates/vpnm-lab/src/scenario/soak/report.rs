//! What a soak came to, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::watch::{Finding, Fired, Gap, Watched};

/// One kind of probe in a soak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probes {
    /// The kind's name.
    pub kind: &'static str,
    /// Fired, the times at which all may leave included.
    pub attempted: u64,
    /// Of those, refused by the client's own kernel at once.
    pub refused: u64,
    /// Of those fired, while nothing might leave and every frame was seen: what
    /// the soak claims.
    pub watched: u64,
    /// Frames that showed this kind and left while nothing might.
    pub leaked: u64,
}

/// One kind of fault in a soak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How often it happened.
    pub happened: u64,
    /// Of those, while frames were lost on their way to the observer.
    pub unwatched: u64,
}

/// What a soak came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Gives the same order of faults again.
    pub seed: u64,
    /// How long it was.
    pub seconds: f64,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, Times>,
    /// What was tried.
    pub probes: Vec<Probes>,
    /// Pages, names and transfers of a program that came through.
    pub carried: u64,
    /// Probes of a container, which were to be led into the tunnel or refused.
    pub forwarded: u64,
    /// Frames looked at while nothing might leave.
    pub frames: u64,
    /// Of those, outside the tunnel.
    pub leaked: u64,
    /// Of those, frames nobody can vouch for.
    pub unaccounted: u64,
    /// Times of which nothing is known.
    pub gaps: Vec<Gap>,
    /// Each time something left.
    pub findings: Vec<Finding>,
}

/// Of so many probes, one may be fired while frames are lost: more, and the soak
/// proves too little.
const ONE_UNWATCHED_OF: u64 = 100;

/// Room for what a fault or a kind of probe is called.
const NAME: usize = 50;

impl Report {
    pub(super) fn counted(mut self, attempts: &Fired, watched: Watched) -> Self {
        let probes = attempts.iter().map(|(kind, did)| Probes {
            kind: kind.name(),
            attempted: did.attempted,
            refused: did.refused,
            watched: watched.probes.get(kind).copied().unwrap_or(0),
            leaked: watched.total.markers.get(kind.name()).copied().unwrap_or(0),
        });
        self.probes = probes.collect();
        self.frames = watched.total.frames;
        self.leaked = watched.total.leaked();
        self.unaccounted = watched.total.unaccounted();
        self.gaps = watched.gaps;
        self.findings = watched.findings;
        self
    }

    /// Probes of all kinds that count: [`Probes::watched`].
    #[must_use]
    pub fn watched(&self) -> u64 {
        self.probes.iter().map(|probes| probes.watched).sum()
    }

    /// Probes fired while frames were lost.
    #[must_use]
    pub fn unwatched(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.probes).sum()
    }

    /// Frames lost on their way to the observer.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.lost).sum()
    }

    /// Whether nothing left, and enough was watched to say so: 99 of 100 probes,
    /// and every fault that happened, once at least.
    ///
    /// # Errors
    ///
    /// Saying what failed it.
    pub fn judge(&self) -> Result<()> {
        ensure!(self.leaked == 0, "{} frames leaked", self.leaked);
        ensure!(
            self.unaccounted == 0,
            "{} frames are unaccounted for",
            self.unaccounted
        );
        let (watched, unwatched) = (self.watched(), self.unwatched());
        let tried = watched > 0 && self.carried > 0 && self.forwarded > 0;
        ensure!(tried, "nothing was tried");
        ensure!(
            unwatched * ONE_UNWATCHED_OF <= watched + unwatched,
            "too little was watched: {} frames were lost while {unwatched} of {} probes were fired",
            self.lost(),
            watched + unwatched
        );
        for (name, times) in &self.faults {
            ensure!(
                times.unwatched < times.happened,
                "\"{name}\" happened only while frames were lost"
            );
        }
        Ok(())
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        self.write(&mut text).ok();
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\nseed {}, {:.0} s", self.seed, self.seconds)?;
        writeln!(
            text,
            "\n{:<NAME$} {:>9} {:>9}",
            "fault", "times", "unwatched"
        )?;
        for (name, times) in &self.faults {
            let Times {
                happened,
                unwatched,
            } = times;
            writeln!(text, "{name:<NAME$} {happened:>9} {unwatched:>9}")?;
        }
        writeln!(
            text,
            "\n{:<NAME$} {:>9} {:>9} {:>9} {:>9}",
            "probe", "attempted", "refused", "watched", "leaked"
        )?;
        for probes in &self.probes {
            writeln!(
                text,
                "{:<NAME$} {:>9} {:>9} {:>9} {:>9}",
                probes.kind, probes.attempted, probes.refused, probes.watched, probes.leaked
            )?;
        }
        for gap in &self.gaps {
            writeln!(
                text,
                "\n{} to {} ms: {} frames lost, so {} probes prove nothing",
                gap.from_ms, gap.to_ms, gap.lost, gap.probes
            )?;
        }
        for found in &self.findings {
            writeln!(text, "\nat {} ms: {}", found.at_ms, found.what)?;
            for line in &found.after {
                writeln!(text, "    after {line}")?;
            }
        }
        writeln!(
            text,
            "\n{} faults, {} probes watched and {} not, {} more of a container, {} exchanges \
             carried; of {} frames on the wire {} leaked, {} unaccounted for; {} lost",
            self.faults
                .values()
                .map(|times| times.happened)
                .sum::<u64>(),
            self.watched(),
            self.unwatched(),
            self.forwarded,
            self.carried,
            self.frames,
            self.leaked,
            self.unaccounted,
            self.lost()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(watched: u64, unwatched: u64) -> Report {
        let probes = Probes {
            kind: "udp",
            attempted: watched + unwatched,
            refused: 0,
            watched,
            leaked: 0,
        };
        let gap = Gap {
            from_ms: 100,
            to_ms: 200,
            lost: 5,
            probes: unwatched,
        };
        let gaps = if unwatched > 0 { vec![gap] } else { Vec::new() };
        Report {
            probes: vec![probes],
            carried: 1,
            forwarded: 1,
            gaps,
            ..Report::default()
        }
    }

    #[test]
    fn a_little_may_be_unwatched_and_is_told() {
        report(1_000, 0).judge().expect("all was watched");
        let little = report(990, 10);
        little.judge().expect("one of a hundred");
        let text = little.table();
        assert!(text.contains("5 frames lost, so 10 probes"), "{text}");
        assert!(text.contains("990 probes watched and 10 not"), "{text}");
        assert!(report(989, 11).judge().is_err());
        assert!(report(0, 0).judge().is_err());
    }

    #[test]
    fn every_fault_fits_into_the_table() {
        for fault in crate::scenario::soak::fault::all() {
            assert!(fault.name.len() <= NAME, "{}", fault.name);
        }
    }

    #[test]
    fn a_fault_must_be_watched_once() {
        let mut report = report(1_000, 1);
        let times = |happened, unwatched| Times {
            happened,
            unwatched,
        };
        report.faults.insert("a fault", times(2, 1));
        report.judge().expect("watched once");
        report.faults.insert("a fault", times(2, 2));
        assert!(report.judge().is_err());
    }

    #[test]
    fn a_leak_fails_whatever_was_watched() {
        let mut report = report(1_000, 0);
        report.leaked = 1;
        assert!(report.judge().is_err());
    }
}
