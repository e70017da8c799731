//! The medians of all rounds, for people and for machines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::Figures;
use crate::statistics::quantile;

const OURS: &str = "anyd";
const PEER: &str = "python anyd";

/// A metric: its unit, whether more is better, and by how much to be better.
struct Metric {
    name: &'static str,
    unit: &'static str,
    more_is_better: bool,
    goal: f64,
}

const fn metric(name: &'static str, unit: &'static str, more_is_better: bool, goal: f64) -> Metric {
    Metric {
        name,
        unit,
        more_is_better,
        goal,
    }
}

const METRICS: [Metric; 7] = [
    metric("calls of one client", "1/s", true, 1.0),
    metric("call, median", "us", false, 1.0),
    metric("call, 99th of 100", "us", false, 1.0),
    metric("connect and call", "us", false, 5.0),
    metric("calls of 16 clients", "1/s", true, 1.1),
    metric("echoes of 1 MiB", "1/s", true, 1.0),
    metric("events of one stream", "1/s", true, 2.5),
];

/// Who → metric → the figures of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: BTreeMap<(&'static str, &'static str), Vec<f64>>,
}

impl Report {
    pub(crate) fn add(&mut self, who: &'static str, figures: Figures) {
        for (metric, value) in figures {
            self.figures.entry((who, metric)).or_default().push(value);
        }
    }

    fn median(&self, who: &'static str, metric: &'static str) -> Option<f64> {
        let mut all = self.figures.get(&(who, metric))?.clone();
        Some(quantile(&mut all, 0.5))
    }

    /// How many times better than the peer; more is better.
    fn ratio(&self, metric: &Metric) -> Option<f64> {
        let ours = self.median(OURS, metric.name)?;
        let theirs = self.median(PEER, metric.name)?;
        Some(if metric.more_is_better {
            ours / theirs
        } else {
            theirs / ours
        })
    }

    pub(crate) fn table(&self, absent: Option<&str>) -> String {
        let mut text = format!("{:24}{:>14}{:>14}{:>9}\n", "", OURS, PEER, "ratio");
        let shown = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        for metric in &METRICS {
            // Writing to a string cannot fail.
            let _always = writeln!(
                text,
                "{:24}{:>14}{:>14}{:>9}",
                format!("{}, {}", metric.name, metric.unit),
                shown(self.median(OURS, metric.name), 0),
                shown(self.median(PEER, metric.name), 0),
                shown(self.ratio(metric), 2),
            );
        }
        if let Some(why) = absent {
            let _always = writeln!(text, "{PEER} was not run: {why}");
        }
        text
    }

    pub(crate) fn json(&self, absent: Option<&str>) -> Value {
        let rows: Vec<Value> = METRICS
            .iter()
            .map(|metric| self.row(metric, absent))
            .collect();
        json!({ "rows": rows })
    }

    fn row(&self, metric: &Metric, absent: Option<&str>) -> Value {
        let theirs = self.median(PEER, metric.name);
        let ratio = self.ratio(metric);
        let why = theirs
            .is_none()
            .then(|| absent.unwrap_or("the peer does not offer it"));
        json!({
            "metric": metric.name,
            "unit": metric.unit,
            "ours": self.median(OURS, metric.name),
            "peers": theirs.map(|theirs| json!({ PEER: theirs })).unwrap_or_else(|| json!({})),
            "best_peer": theirs.map(|_| PEER),
            "ratio": ratio,
            "goal": metric.goal,
            "met": ratio.is_some_and(|ratio| ratio >= metric.goal),
            "why": why,
        })
    }
}
