//! What the drills found, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use vpnm_world::capture::Tally;
use vpnm_world::probe::{Attempts, Kind};

/// One row of the matrix for one kind of probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The row's number.
    pub row: u8,
    /// The row's name.
    pub scenario: &'static str,
    /// The kind of probe; `(no mark)` for frames that do not show theirs:
    /// handshakes, address resolution, traffic of programs.
    pub kind: &'static str,
    /// Probes fired.
    pub attempted: u64,
    /// Frames that left outside the tunnel.
    pub leaked: u64,
    /// Frames nobody can vouch for; of the whole row, in its last line.
    pub unaccounted: u64,
    /// What left, if anything.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub what: String,
}

const UNMARKED: &str = "(no mark)";

impl Line {
    /// The lines of a row: one for each kind, and one for what shows none.
    #[must_use]
    pub fn of(
        row: u8,
        scenario: &'static str,
        attempts: &BTreeMap<Kind, Attempts>,
        tally: &Tally,
    ) -> Vec<Self> {
        let line = |kind, attempted, leaked| Self {
            row,
            scenario,
            kind,
            attempted,
            leaked,
            unaccounted: 0,
            what: String::new(),
        };
        let marked = |kind: &Kind| tally.markers.get(kind.name()).copied().unwrap_or(0);
        let mut lines: Vec<Self> = attempts
            .iter()
            .map(|(kind, attempts)| line(kind.name(), attempts.attempted, marked(kind)))
            .collect();
        let unmarked = tally.leaked().saturating_sub(tally.markers.values().sum());
        let what: Vec<String> = tally
            .leaks
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        lines.push(Self {
            unaccounted: tally.unaccounted(),
            what: what.join(", "),
            ..line(UNMARKED, 0, unmarked)
        });
        lines
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

/// A row that was not run; it never counts as met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NotRun {
    /// The row's number.
    pub row: u8,
    /// The row's name.
    pub scenario: &'static str,
    /// Why not.
    pub why: &'static str,
}

/// The object for machines: `{"rows": [...], "not_run": [...]}`.
///
/// # Errors
///
/// None that can occur: every field has a JSON form.
pub fn json(lines: &[Line], not_run: &[NotRun]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        rows: &'a [Line],
        not_run: &'a [NotRun],
    }
    serde_json::to_string(&Report {
        rows: lines,
        not_run,
    })
}

/// One combination tried against a server of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The proxy protocol.
    pub protocol: &'static str,
    /// What carried it.
    pub transport: &'static str,
    /// What protected it.
    pub security: &'static str,
    /// The other program.
    pub peer: &'static str,
    /// What the other program was.
    pub role: &'static str,
    /// Whether everything worked.
    pub ok: bool,
    /// Why not; empty if it did.
    pub why: String,
}

/// The object for machines: `{"cells": [...]}`.
///
/// # Errors
///
/// None that can occur: every field has a JSON form.
pub fn cells(cells: &[Cell]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        cells: &'a [Cell],
    }
    serde_json::to_string(&Report { cells })
}

/// A table for people: one line for each row, those not run included.
#[must_use]
pub fn table(lines: &[Line], not_run: &[NotRun]) -> String {
    let mut rows: BTreeMap<u8, Vec<Line>> = BTreeMap::new();
    for line in lines {
        rows.entry(line.row).or_default().push(line.clone());
    }
    let mut text = format!(
        "{:>3}  {:<52} {:>8} {:>7} {:>11}\n",
        "row", "scenario", "probes", "leaked", "unaccounted"
    );
    for (number, lines) in rows {
        let name = lines.first().map_or("", |line| line.scenario);
        // Writing to a string cannot fail.
        writeln!(
            text,
            "{number:>3}  {name:<52} {:>8} {:>7} {:>11}",
            attempted(&lines),
            leaked(&lines),
            unaccounted(&lines)
        )
        .ok();
    }
    for NotRun { row, scenario, why } in not_run {
        // As above.
        writeln!(text, "{row:>3}  {scenario:<52} not run: {why}").ok();
    }
    text
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
                refused: 0,
            },
        )]);
        let lines = Line::of(1, "a row", &attempts, &tally);
        assert_eq!(
            (leaked(&lines), unaccounted(&lines), attempted(&lines)),
            (4, 1, 9)
        );
        assert_eq!(lines[0].leaked, 3);
    }
}
