//! What people and machines read.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one place that prints"
)]

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;

use crate::statistics::median;

/// Samples by metric and engine.
pub(crate) type Samples = BTreeMap<Metric, BTreeMap<String, Vec<f64>>>;

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    Up,
    Down,
    Up8,
    Down8,
    UpCost,
    DownCost,
    Ping50,
    Ping99,
    Connections,
    Stuck,
    Small,
    SmallLost,
    Large,
    LargeLost,
    Idle,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    metric: &'a str,
    unit: &'a str,
    ours: Option<f64>,
    peers: serde_json::Map<String, serde_json::Value>,
    best_peer: Option<&'a str>,
    /// More than 1 is better than the best peer.
    ratio: Option<f64>,
}

impl Metric {
    /// The name in words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Up => "TCP up, 1 flow",
            Self::Down => "TCP down, 1 flow",
            Self::Up8 => "TCP up, 8 flows",
            Self::Down8 => "TCP down, 8 flows",
            Self::UpCost => "engine CPU, up",
            Self::DownCost => "engine CPU, down",
            Self::Ping50 => "ping-pong p50",
            Self::Ping99 => "ping-pong p99",
            Self::Connections => "connections",
            Self::Stuck => "connections stuck",
            Self::Small => "UDP 64 B, 100 k/s offered",
            Self::SmallLost => "UDP 64 B lost",
            Self::Large => "UDP 1200 B, 100 k/s offered",
            Self::LargeLost => "UDP 1200 B lost",
            Self::Idle => "memory, idle",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Self::Up | Self::Down | Self::Up8 | Self::Down8 => "Gbit/s",
            Self::UpCost | Self::DownCost => "s/GB",
            Self::Ping50 | Self::Ping99 => "us",
            Self::Connections => "1/s",
            Self::Stuck => "",
            Self::Small | Self::Large => "k/s",
            Self::SmallLost | Self::LargeLost => "%",
            Self::Idle => "MiB",
        }
    }

    fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::Up
                | Self::Down
                | Self::Up8
                | Self::Down8
                | Self::Connections
                | Self::Small
                | Self::Large
        )
    }
}

/// Prints medians and ratios.
pub(crate) fn print(samples: &Samples, engines: &[String], json: bool) -> anyhow::Result<()> {
    let rows: Vec<Row<'_>> = samples
        .iter()
        .map(|(metric, by_engine)| {
            let value = |name: &str| by_engine.get(name).map(|values| median(values));
            row(*metric, engines, value)
        })
        .collect();
    if json {
        println!("{}", serde_json::to_string(&json!({ "rows": rows }))?);
        return Ok(());
    }
    table(&rows, engines);
    Ok(())
}

fn row<'a>(metric: Metric, engines: &'a [String], value: impl Fn(&str) -> Option<f64>) -> Row<'a> {
    let ours = value("vpnm");
    let others = engines.iter().filter(|name| *name != "vpnm");
    let peers: Vec<(&str, f64)> = others
        .filter_map(|name| Some((name.as_str(), value(name)?)))
        .collect();
    let best = peers
        .iter()
        .filter(|(name, _)| *name != "direct")
        .copied()
        .reduce(|best, peer| {
            let better = if metric.more_is_better() {
                peer.1 > best.1
            } else {
                peer.1 < best.1
            };
            if better { peer } else { best }
        });
    let ratio = ours.zip(best).map(|(ours, (_, best))| {
        let (good, bad) = if metric.more_is_better() {
            (ours, best)
        } else {
            (best, ours)
        };
        good / bad
    });
    Row {
        metric: metric.text(),
        unit: metric.unit(),
        ours,
        peers: peers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect(),
        best_peer: best.map(|(name, _)| name),
        ratio: ratio.filter(|ratio| ratio.is_finite()),
    }
}

fn table(rows: &[Row<'_>], engines: &[String]) {
    let widths: Vec<usize> = engines.iter().map(|name| name.len().max(8)).collect();
    print!("| {:<28} |", "");
    for (name, width) in engines.iter().zip(&widths) {
        print!(" {name:>width$} |");
    }
    println!(" against the best peer |");
    print!("|{:-<30}|", "");
    for width in &widths {
        print!("{:->1$}:|", "", width + 1);
    }
    println!("----------------------:|");
    for row in rows {
        print!(
            "| {:<28} |",
            format!("{}, {}", row.metric, row.unit).trim_end_matches(", ")
        );
        for (name, width) in engines.iter().zip(&widths) {
            let value = if name == "vpnm" {
                row.ours
            } else {
                row.peers.get(name).and_then(serde_json::Value::as_f64)
            };
            print!(" {:>width$} |", value.map_or_else(|| "-".to_owned(), short));
        }
        println!(
            " {:>21} |",
            row.ratio
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2} x"))
        );
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

/// Says what went wrong without ending the run.
pub(crate) fn complain(error: &anyhow::Error) {
    eprintln!("vpnm-bench: {error:#}");
}
