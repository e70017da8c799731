//! What a soak came to, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use vpnm_world::capture::Tally;
use vpnm_world::probe::{Attempts, Kind};

use super::watch::Finding;

/// One kind of probe in a soak.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probes {
    /// The kind's name.
    pub kind: &'static str,
    /// Fired, the times at which all may leave included.
    pub attempted: u64,
    /// Of those, refused by the client's own kernel at once.
    pub refused: u64,
    /// Frames that showed this kind and left while nothing might.
    pub leaked: u64,
}

/// What a soak came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Gives the same order of faults again.
    pub seed: u64,
    /// How long it was.
    pub seconds: f64,
    /// How often each fault happened.
    pub faults: BTreeMap<&'static str, u64>,
    /// What was tried.
    pub probes: Vec<Probes>,
    /// Pages, names and transfers of a program that came through.
    pub carried: u64,
    /// Frames looked at while nothing might leave.
    pub frames: u64,
    /// Of those, outside the tunnel.
    pub leaked: u64,
    /// Of those, frames nobody can vouch for.
    pub unaccounted: u64,
    /// Each time something left.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(super) fn counted(mut self, attempts: &BTreeMap<Kind, Attempts>, total: &Tally) -> Self {
        let probes = attempts.iter().map(|(kind, did)| Probes {
            kind: kind.name(),
            attempted: did.attempted,
            refused: did.refused,
            leaked: total.markers.get(kind.name()).copied().unwrap_or(0),
        });
        self.probes = probes.collect();
        self.frames = total.frames;
        self.leaked = total.leaked();
        self.unaccounted = total.unaccounted();
        self
    }

    /// Probes of all kinds.
    #[must_use]
    pub fn attempted(&self) -> u64 {
        self.probes.iter().map(|probes| probes.attempted).sum()
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
        writeln!(text, "\n{:<42} {:>9}", "fault", "times")?;
        for (name, times) in &self.faults {
            writeln!(text, "{name:<42} {times:>9}")?;
        }
        writeln!(
            text,
            "\n{:<42} {:>9} {:>9} {:>9}",
            "probe", "attempted", "refused", "leaked"
        )?;
        for probes in &self.probes {
            writeln!(
                text,
                "{:<42} {:>9} {:>9} {:>9}",
                probes.kind, probes.attempted, probes.refused, probes.leaked
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
            "\n{} faults, {} probes, {} exchanges carried; of {} frames on the wire \
             {} leaked, {} unaccounted for",
            self.faults.values().sum::<u64>(),
            self.attempted(),
            self.carried,
            self.frames,
            self.leaked,
            self.unaccounted
        )
    }
}
