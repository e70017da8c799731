//! The medians of all rounds, for people and for machines.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anyd_bench::load::Figures;
use anyd_bench::statistics::quantile;
use serde_json::{Map, Value, json};

use crate::run::Measured;

/// Where a metric is found.
enum Source {
    Rounds(fn(&Figures) -> Option<f64>),
    /// The server's size in megabytes.
    Size,
}

/// What ours is held against.
enum Against {
    /// The best of all peers.
    Best,
    /// The best of these.
    Only(&'static [&'static str]),
    /// A number; less is better.
    Limit(f64),
}

/// A row: what is measured, and by how much to be better than whom.
struct Metric {
    name: &'static str,
    unit: &'static str,
    source: Source,
    more_is_better: bool,
    against: Against,
    goal: f64,
    digits: usize,
}

const METRICS: [Metric; 7] = [
    Metric {
        name: "connect, authenticate, call: median",
        unit: "us",
        source: Source::Rounds(|round| round.session),
        more_is_better: false,
        against: Against::Only(&["python anyd"]),
        goal: 5.0,
        digits: 1,
    },
    Metric {
        name: "calls of one client",
        unit: "1/s",
        source: Source::Rounds(|round| round.calls),
        more_is_better: true,
        against: Against::Best,
        goal: 1.0,
        digits: 0,
    },
    Metric {
        name: "call: 99th of 100",
        unit: "us",
        source: Source::Rounds(|round| round.slow),
        more_is_better: false,
        against: Against::Best,
        goal: 1.0,
        digits: 1,
    },
    Metric {
        name: "calls of 16 clients",
        unit: "1/s",
        source: Source::Rounds(|round| round.crowd),
        more_is_better: true,
        against: Against::Best,
        goal: 1.1,
        digits: 0,
    },
    Metric {
        name: "events of one stream",
        unit: "1/s",
        source: Source::Rounds(|round| round.events),
        more_is_better: true,
        against: Against::Only(&["zlink"]),
        goal: 2.5,
        digits: 0,
    },
    Metric {
        name: "echoes of 1 MiB",
        unit: "1/s",
        source: Source::Rounds(|round| round.large),
        more_is_better: true,
        // The others do not speak JSON.
        against: Against::Only(&["zlink"]),
        goal: 1.0,
        digits: 0,
    },
    Metric {
        name: "server's program without libc",
        unit: "MB",
        source: Source::Size,
        more_is_better: false,
        against: Against::Limit(1.0),
        goal: 1.0,
        digits: 2,
    },
];

/// A metric with its values.
struct Row {
    metric: &'static Metric,
    ours: Option<f64>,
    peers: Vec<(&'static str, f64)>,
    best_peer: Option<&'static str>,
    ratio: Option<f64>,
}

impl Metric {
    fn of(&self, one: &Measured) -> Option<f64> {
        match self.source {
            Source::Size => one.size.map(megabytes),
            Source::Rounds(figure) => {
                let mut all: Vec<f64> = one.rounds.iter().filter_map(figure).collect();
                (!all.is_empty()).then(|| quantile(&mut all, 0.5))
            }
        }
    }

    fn is_better(&self, one: f64, other: f64) -> bool {
        (one > other) == self.more_is_better
    }

    /// How many times better `ours` is; more is better.
    fn ratio(&self, ours: f64, theirs: f64) -> f64 {
        if self.more_is_better {
            ours / theirs
        } else {
            theirs / ours
        }
    }

    /// The best of the peers that count.
    fn best(&self, peers: &[(&'static str, f64)]) -> Option<(&'static str, f64)> {
        let counts = |name: &str| match self.against {
            Against::Best => true,
            Against::Only(names) => names.contains(&name),
            Against::Limit(_) => false,
        };
        let counted = peers.iter().copied().filter(|(name, _)| counts(name));
        counted.reduce(|best, one| {
            if self.is_better(one.1, best.1) {
                one
            } else {
                best
            }
        })
    }

    fn row(&'static self, measured: &[Measured]) -> Option<Row> {
        let (ours, others) = measured.split_first()?;
        let ours = self.of(ours);
        let peers: Vec<_> = others
            .iter()
            .filter_map(|peer| Some((peer.name, self.of(peer)?)))
            .collect();
        let best = self.best(&peers);
        let bar = match self.against {
            Against::Limit(limit) => Some(limit),
            Against::Best | Against::Only(_) => best.map(|(_, value)| value),
        };
        Some(Row {
            metric: self,
            ours,
            peers,
            best_peer: best.map(|(name, _)| name),
            ratio: ours.zip(bar).map(|(ours, bar)| self.ratio(ours, bar)),
        })
    }
}

impl Row {
    fn is_met(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio >= self.metric.goal)
    }
}

/// The rows as one object.
pub(crate) fn json(measured: &[Measured]) -> Value {
    let rows: Vec<Value> = rows(measured)
        .iter()
        .map(|row| {
            let peers: Map<String, Value> = row
                .peers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            json!({
                "metric": row.metric.name,
                "unit": row.metric.unit,
                "ours": row.ours,
                "peers": peers,
                "best_peer": row.best_peer,
                "ratio": row.ratio,
                "goal": row.metric.goal,
                "met": row.is_met(),
            })
        })
        .collect();
    json!({ "rows": rows })
}

/// The rows as a table.
pub(crate) fn table(measured: &[Measured]) -> String {
    let colour = std::io::stdout().is_terminal();
    let mut text = format!("{:41}", "");
    for one in measured {
        add(&mut text, &format!("{:>13}", one.name));
    }
    add(
        &mut text,
        &format!("{:>9}{:>8}  against\n", "ratio", "goal"),
    );
    for row in rows(measured) {
        add(&mut text, &line(&row, measured, colour));
    }
    for one in measured {
        if let Some(why) = &one.absent {
            add(&mut text, &format!("{} was not run: {why}\n", one.name));
        }
    }
    text
}

fn line(row: &Row, measured: &[Measured], colour: bool) -> String {
    let metric = row.metric;
    let shown = |value: Option<f64>, digits: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
    };
    let mut text = format!("{:<36}{:<5}", metric.name, metric.unit);
    for one in measured {
        let value = shown(metric.of(one), metric.digits);
        add(&mut text, &format!("{:>13}", grouped(&value)));
    }
    let ratio = format!("{:>9}", shown(row.ratio, 2));
    let (on, off) = match (colour, row.is_met()) {
        (false, _) => ("", ""),
        (true, true) => ("\u{1b}[32m", "\u{1b}[0m"),
        (true, false) => ("\u{1b}[31m", "\u{1b}[0m"),
    };
    let against = match metric.against {
        Against::Limit(limit) => format!("{limit} {}", metric.unit),
        Against::Best | Against::Only(_) => row.best_peer.unwrap_or("-").to_owned(),
    };
    let goal = shown(Some(metric.goal), 1);
    add(
        &mut text,
        &format!("{on}{ratio}{off}{goal:>8}  {against}\n"),
    );
    text
}

fn rows(measured: &[Measured]) -> Vec<Row> {
    METRICS
        .iter()
        .filter_map(|metric| metric.row(measured))
        .collect()
}

/// Digits in threes: `1 234 567`.
fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    let mut text = String::new();
    for (place, letter) in number.char_indices() {
        if place > 0 && place < whole && (whole - place) % 3 == 0 {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

fn megabytes(bytes: u64) -> f64 {
    u32::try_from(bytes).map_or(f64::MAX, f64::from) / 1e6
}

fn add(text: &mut String, more: &str) {
    // Writing to a string cannot fail.
    let _always = text.write_str(more);
}
