//! The leak matrix: every row under a hail of probes, every frame accounted
//! for; and proof that the observer and the attacks can fail a tunnel.
//!
//! `cargo test -p vpnm-lab --test leaks -- [--json] [--probes N]
//! [--captures DIRECTORY] [FILTER…]`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program reports"
)]

use std::cell::RefCell;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::harness::{self, Case, Options, Outcome};
use vpnm_lab::report::{self, Line};
use vpnm_lab::scenario::{self, NOT_RUN, Protection, ROWS, Row};
use vpnm_world::probe::Kind;

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let found = RefCell::new(Vec::new());
    let mut cases: Vec<Case<'_>> = ROWS.iter().map(|row| defended(row, &found)).collect();
    cases.extend(
        ROWS.iter()
            .filter(|row| OF_RULES.contains(&row.number))
            .map(ruled),
    );
    cases.extend(observed());
    let passed = match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => return Ok(code),
        Outcome::Ran { passed } => passed,
    };
    drop(cases);
    let lines = found.into_inner();
    if options.json {
        println!("{}", report::json(&lines, NOT_RUN)?);
    } else if !lines.is_empty() {
        eprint!("{}", report::table(&lines, NOT_RUN));
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A row against the program under test: nothing may leave.
fn defended<'a>(row: &'a Row, found: &'a RefCell<Vec<Line>>) -> Case<'a> {
    Case::new(
        format!("row {}: {}", row.number, row.name),
        move |options| {
            let record = record(options, row)?;
            let lines = scenario::run(row, Protection::Product, options.probes, record.as_deref())?;
            found.borrow_mut().extend_from_slice(&lines);
            ensure!(
                report::attempted(&lines) >= options.probes,
                "too few probes were fired"
            );
            let what = lines.last().map_or("", |line| line.what.as_str());
            ensure!(report::leaked(&lines) == 0, "leaked: {what}");
            ensure!(
                report::unaccounted(&lines) == 0,
                "frames are unaccounted for"
            );
            Ok(())
        },
    )
}

/// Rows in which the rules alone decide what leaves.
const OF_RULES: &[u8] = &[
    2, 3, 11, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 35, 38, 39, 42, 43,
];

/// A row against the rules alone: no user-space repairs anything.
fn ruled(row: &Row) -> Case<'_> {
    Case::new(
        format!("rules alone, row {}: {}", row.number, row.name),
        move |options| {
            let lines = scenario::run(row, Protection::Rules, options.probes, None)?;
            let what = lines.last().map_or("", |line| line.what.as_str());
            ensure!(report::leaked(&lines) == 0, "leaked: {what}");
            ensure!(
                report::unaccounted(&lines) == 0,
                "frames are unaccounted for"
            );
            Ok(())
        },
    )
}

/// Probes by sockets that ask for nothing special.
const PLAIN: &[Kind] = &[Kind::Udp, Kind::Udp6, Kind::Tcp, Kind::Tcp6];

/// Proof that the observer sees and that the attacks bite: against nothing at
/// all, and against routing rules as wg-quick sets them, which hold until each
/// of these attacks, and not any longer.
fn observed() -> Vec<Case<'static>> {
    let bare = [28, 30].into_iter().map(|number| {
        Case::new(
            format!("observer: row {number} without a tunnel is seen"),
            move |options| {
                let lines =
                    scenario::run(&row(number)?, Protection::Nothing, options.probes, None)?;
                ensure!(
                    report::leaked(&lines) >= options.probes / 2,
                    "not everything was seen"
                );
                ensure!(
                    report::unaccounted(&lines) == 0,
                    "frames are unaccounted for"
                );
                Ok(())
            },
        )
    });
    let holds = Case::new(
        "observer: wg-quick's rules hold while nothing happens",
        |options| {
            let quiet = Row {
                kinds: PLAIN,
                ..row(23)?
            };
            let lines = scenario::run(&quiet, Protection::WgQuick, options.probes, None)?;
            ensure!(
                report::leaked(&lines) + report::unaccounted(&lines) == 0,
                "something left"
            );
            Ok(())
        },
    );
    let broken = [
        (1, PLAIN),
        (12, PLAIN),
        (13, PLAIN),
        (15, PLAIN),
        (23, &[]),
        (30, &[]),
    ];
    let broken = broken.into_iter().map(|(number, kinds)| {
        Case::new(
            format!("observer: row {number} breaks wg-quick's rules"),
            move |options| {
                let row = row(number)?;
                let kinds = if kinds.is_empty() { row.kinds } else { kinds };
                let row = Row { kinds, ..row };
                let lines = scenario::run(&row, Protection::WgQuick, options.probes, None)?;
                ensure!(report::leaked(&lines) > 0, "nothing was seen to leave");
                ensure!(
                    report::unaccounted(&lines) == 0,
                    "frames are unaccounted for"
                );
                Ok(())
            },
        )
    });
    bare.chain([holds]).chain(broken).collect()
}

fn row(number: u8) -> Result<Row> {
    let row = ROWS.iter().find(|row| row.number == number);
    row.copied()
        .with_context(|| format!("there is no row {number}"))
}

fn record(options: &Options, row: &Row) -> Result<Option<std::path::PathBuf>> {
    let Some(directory) = &options.captures else {
        return Ok(None);
    };
    std::fs::create_dir_all(directory)?;
    Ok(Some(directory.join(format!("row-{}.pcap", row.number))))
}
