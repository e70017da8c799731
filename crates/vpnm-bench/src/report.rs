//! What people and machines read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place that prints"
)]

use serde::Serialize;
use serde_json::json;

use crate::goal::{Against, Outcome, ROWS, Row};
use crate::metric::Metric;
use crate::samples::{DIRECT, OURS, Samples};
use crate::seen::Outcome as CellOutcome;

/// A row as machines read it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    metric: &'a str,
    unit: &'a str,
    ours: Option<f64>,
    peers: serde_json::Map<String, serde_json::Value>,
    best_peer: Option<&'a str>,
    /// More than 1 is better than `best_peer`.
    ratio: Option<f64>,
    goal: Option<String>,
    met: Option<bool>,
    /// Why a value is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Prints medians, ratios and goals.
pub(crate) fn print(samples: &Samples, json: bool) -> anyhow::Result<()> {
    let outcomes: Vec<(&Row, Outcome)> =
        ROWS.iter().map(|row| (row, row.outcome(samples))).collect();
    if json {
        let rows: Vec<Record<'_>> = outcomes
            .iter()
            .map(|(row, outcome)| record(row, outcome, samples))
            .collect();
        let failures: Vec<_> = samples
            .failures()
            .map(|(load, engine, why)| {
                json!({ "load": load.to_string(), "engine": engine, "why": why })
            })
            .collect();
        let report = json!({ "rows": rows, "failures": failures });
        println!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    table(samples);
    failures(samples);
    println!();
    goals(&outcomes, samples);
    Ok(())
}

fn record<'a>(row: &'a Row, outcome: &'a Outcome, samples: &Samples) -> Record<'a> {
    let peers = samples
        .engines(row.metric)
        .filter(|name| *name != OURS)
        .filter_map(|name| Some((name.to_owned(), json!(samples.median(row.metric, name)?))));
    Record {
        metric: row.metric.text(),
        unit: row.metric.unit(),
        ours: outcome.ours,
        peers: peers.collect(),
        best_peer: outcome.other.as_ref().map(|(name, _)| name.as_str()),
        ratio: outcome.ratio,
        goal: row.goal_text(),
        met: outcome.met,
        why: why(row, outcome, samples),
    }
}

/// Why a value is missing, if one is.
fn why(row: &Row, outcome: &Outcome, samples: &Samples) -> Option<String> {
    let of = |engine: &str, metric: Metric| {
        let failure = samples.failure(metric.load(), engine);
        let why = failure.unwrap_or("it was not run");
        format!("{engine}: {why}")
    };
    if outcome.ours.is_none() {
        return Some(of(OURS, row.metric));
    }
    match (&outcome.other, row.against) {
        (Some(_), _) => None,
        (None, Against::Peer(name)) => Some(of(name, row.metric)),
        (None, Against::Own(metric)) => Some(of(OURS, metric)),
        (None, Against::Best | Against::BestAt1500) => Some("no peer was measured".to_owned()),
    }
}

/// Every metric by every engine, as the README shows it.
fn table(samples: &Samples) {
    let engines = samples.all_engines();
    let mut lines = vec![
        std::iter::once(String::new())
            .chain(engines.iter().map(|name| (*name).to_owned()))
            .collect::<Vec<_>>(),
    ];
    let mut last = None;
    for metric in ROWS.iter().map(|row| row.metric) {
        if last.replace(metric) == Some(metric) || samples.engines(metric).next().is_none() {
            continue;
        }
        let name = format!("{}, {}", metric.text(), metric.unit());
        let mut line = vec![name.trim_end_matches(", ").to_owned()];
        line.extend(engines.iter().map(|engine| {
            let missing = || match samples.failure(metric.load(), engine) {
                Some(_) => "failed".to_owned(),
                None => "-".to_owned(),
            };
            samples.median(metric, engine).map_or_else(missing, short)
        }));
        lines.push(line);
    }
    aligned(&lines);
}

/// Who failed under which load, and why.
fn failures(samples: &Samples) {
    for (load, engine, why) in samples.failures() {
        println!("{engine} failed under {load}: {why}");
    }
}

/// Every goal and how far it was reached.
fn goals(outcomes: &[(&Row, Outcome)], samples: &Samples) {
    let heads = ["", "goal", "ours", "compared with", "ratio", "met"];
    let mut lines = vec![heads.map(str::to_owned).to_vec()];
    for (row, outcome) in outcomes {
        let Some(goal) = row.goal_text() else {
            continue;
        };
        let missing = || "-".to_owned();
        let met = match why(row, outcome, samples) {
            _ if outcome.met == Some(true) => "yes".to_owned(),
            Some(why) => format!("no, {why}"),
            None => "no".to_owned(),
        };
        lines.push(vec![
            row.metric.text().to_owned(),
            goal,
            outcome.ours.map_or_else(missing, short),
            outcome
                .other
                .as_ref()
                .map_or_else(missing, |(_, value)| short(*value)),
            outcome
                .ratio
                .map_or_else(missing, |ratio| format!("{ratio:.2} x")),
            met,
        ]);
    }
    aligned(&lines);
}

/// Prints every cell by every engine: what is as it is without one, and what is not.
pub(crate) fn print_cells(outcomes: &[CellOutcome], json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(&json!({ "cells": outcomes }))?);
        return Ok(());
    }
    let mut engines: Vec<&str> = Vec::new();
    let mut cells: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !engines.contains(&outcome.engine.as_str()) {
            engines.push(&outcome.engine);
        }
        if !cells.contains(&outcome.cell.as_str()) {
            cells.push(&outcome.cell);
        }
    }
    let head = std::iter::once("").chain(engines.iter().copied());
    let mut lines = vec![head.map(str::to_owned).collect::<Vec<_>>()];
    for cell in cells {
        let of = |engine: &&str| {
            let mut all = outcomes.iter();
            let found = all.find(|one| one.cell == cell && one.engine == **engine);
            found.map_or_else(|| "-".to_owned(), cell_text)
        };
        let mut line = vec![cell.to_owned()];
        line.extend(engines.iter().map(of));
        lines.push(line);
    }
    let mut last = vec!["as without an engine".to_owned()];
    last.extend(engines.iter().map(|engine| {
        let of_engine = outcomes.iter().filter(|one| one.engine == *engine);
        let right = of_engine.clone().filter(|one| one.as_direct).count();
        format!("{right} of {}", of_engine.count())
    }));
    lines.push(last);
    aligned(&lines);
    Ok(())
}

/// What is seen without an engine is said in words, the same of an engine in one.
fn cell_text(outcome: &CellOutcome) -> String {
    if outcome.as_direct && outcome.engine != DIRECT {
        "yes".to_owned()
    } else {
        outcome.seen.clone()
    }
}

/// A table of Markdown that is one for the eye, too; numbers stand on the right.
fn aligned(lines: &[Vec<String>]) {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            if column == 0 {
                print!("| {cell:<width$} ");
            } else {
                print!("| {cell:>width$} ");
            }
        }
        println!("|");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let end = if column == 0 { '-' } else { ':' };
                print!("|{:-<1$}{end}", "", width + 1);
            }
            println!("|");
        }
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// Says what is being done, for the person who waits.
pub(crate) fn progress(round: usize, rounds: usize, engine: &str) {
    eprintln!("round {round} of {rounds}: {engine}");
}

/// Says whose cells are being played.
pub(crate) fn playing(engine: &str) {
    eprintln!("cells: {engine}");
}

/// Says what went wrong without ending the run.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("vpnm-bench: {error:#}");
}
