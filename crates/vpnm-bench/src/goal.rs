//! What the engine is to reach, and the rows of the table that say so.

use crate::metric::Metric;
use crate::samples::{BARE, DIRECT, OURS, Samples};

/// With whom a row compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// Whoever of the peers is best.
    Best,
    /// Whoever of those at MTU 1500 is best.
    BestAt1500,
    /// One peer.
    Peer(&'static str),
    /// Another metric of our own.
    Own(Metric),
}

/// What is to be reached.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// This many times as good.
    Times(f64),
    /// This value or better, whoever else does what.
    Value(f64),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) metric: Metric,
    pub(crate) against: Against,
    pub(crate) goal: Option<Goal>,
}

const fn row(metric: Metric, against: Against, goal: Goal) -> Row {
    Row {
        metric,
        against,
        goal: Some(goal),
    }
}

/// All rows in their order.
pub(crate) const ROWS: &[Row] = &[
    row(
        Metric::Up,
        Against::Peer("sing-box system"),
        Goal::Times(1.5),
    ),
    row(Metric::Up, Against::Peer("hev"), Goal::Times(2.8)),
    row(Metric::Up, Against::BestAt1500, Goal::Times(6.0)),
    row(
        Metric::Down,
        Against::Peer("sing-box system"),
        Goal::Times(2.5),
    ),
    row(Metric::Down, Against::Peer("hev"), Goal::Times(3.6)),
    row(Metric::Down, Against::BestAt1500, Goal::Times(6.0)),
    row(Metric::Up8, Against::Own(Metric::Up), Goal::Times(0.9)),
    row(Metric::Down8, Against::Own(Metric::Down), Goal::Times(0.9)),
    row(Metric::UpCost, Against::Best, Goal::Value(0.27)),
    row(Metric::DownCost, Against::Best, Goal::Value(0.27)),
    Row {
        metric: Metric::CarriedUp,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::CarriedDown,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::CarriedUpCost,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::CarriedDownCost,
        against: Against::Best,
        goal: None,
    },
    row(
        Metric::RecordsUp,
        Against::Own(Metric::CarriedUp),
        Goal::Times(0.35),
    ),
    row(
        Metric::RecordsDown,
        Against::Own(Metric::CarriedDown),
        Goal::Times(0.35),
    ),
    row(
        Metric::RecordsUpCost,
        Against::Own(Metric::CarriedUpCost),
        Goal::Times(0.35),
    ),
    row(
        Metric::RecordsDownCost,
        Against::Own(Metric::CarriedDownCost),
        Goal::Times(0.35),
    ),
    Row {
        metric: Metric::VmessUp,
        against: Against::Own(Metric::CarriedUp),
        goal: None,
    },
    Row {
        metric: Metric::VmessUpCost,
        against: Against::Own(Metric::CarriedUpCost),
        goal: None,
    },
    row(
        Metric::UpForwarded,
        Against::Own(Metric::Up),
        Goal::Times(0.3),
    ),
    row(Metric::UpLossy, Against::Peer(DIRECT), Goal::Times(0.5)),
    Row {
        metric: Metric::Ping50,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::Ping99,
        against: Against::Best,
        goal: None,
    },
    row(
        Metric::PinnedPing50,
        Against::Peer("hev"),
        Goal::Times(1.25),
    ),
    row(
        Metric::PinnedPing99,
        Against::Peer("hev"),
        Goal::Times(1.43),
    ),
    Row {
        metric: Metric::BesideUp50,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::BesideUp99,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::BesideDown50,
        against: Against::Best,
        goal: None,
    },
    Row {
        metric: Metric::BesideDown99,
        against: Against::Best,
        goal: None,
    },
    row(Metric::Connections, Against::Peer("hev"), Goal::Times(1.35)),
    Row {
        metric: Metric::Connection99,
        against: Against::Best,
        goal: None,
    },
    row(Metric::Stuck, Against::Best, Goal::Value(0.0)),
    Row {
        metric: Metric::OneAtATime,
        against: Against::Best,
        goal: None,
    },
    row(Metric::SmallCostUp, Against::Peer("hev"), Goal::Times(2.0)),
    row(
        Metric::SmallCostDown,
        Against::Peer("hev"),
        Goal::Times(2.0),
    ),
    row(Metric::LargeCostUp, Against::Peer("hev"), Goal::Times(2.0)),
    row(
        Metric::LargeCostDown,
        Against::Peer("hev"),
        Goal::Times(2.0),
    ),
    Row {
        metric: Metric::DelayUp50,
        against: Against::Peer("hev"),
        goal: None,
    },
    Row {
        metric: Metric::DelayUp99,
        against: Against::Peer("hev"),
        goal: None,
    },
    Row {
        metric: Metric::DelayDown50,
        against: Against::Peer("hev"),
        goal: None,
    },
    Row {
        metric: Metric::DelayDown99,
        against: Against::Peer("hev"),
        goal: None,
    },
    row(Metric::SmallLostUp, Against::Best, Goal::Value(1.0)),
    row(Metric::SmallLostDown, Against::Best, Goal::Value(1.0)),
    row(Metric::LargeLostUp, Against::Best, Goal::Value(1.0)),
    row(Metric::LargeLostDown, Against::Best, Goal::Value(1.0)),
    row(Metric::JoinedCostUp, Against::Best, Goal::Value(1.0)),
    row(Metric::JoinedCostDown, Against::Best, Goal::Value(1.0)),
    row(Metric::JoinedLostUp, Against::Best, Goal::Value(1.0)),
    row(Metric::JoinedLostDown, Against::Best, Goal::Value(1.0)),
    row(Metric::NewFlows, Against::Best, Goal::Value(21_000.0)),
    row(Metric::OpenFlows, Against::Best, Goal::Value(16_000.0)),
    row(Metric::Idle, Against::Best, Goal::Value(8.0)),
    row(
        Metric::PerConnection,
        Against::Peer("hev"),
        Goal::Value(2.0),
    ),
    row(Metric::AfterClosing, Against::Best, Goal::Value(1.1)),
    row(Metric::WakeUps, Against::Best, Goal::Value(0.0)),
    row(Metric::ManyServed, Against::Best, Goal::Value(100_000.0)),
    row(Metric::ManyAfter, Against::Best, Goal::Value(1.1)),
    row(Metric::ManyDescriptors, Against::Best, Goal::Value(0.0)),
    row(Metric::FloodMemory, Against::Best, Goal::Value(64.0)),
    row(Metric::FloodServed, Against::Best, Goal::Value(8.0)),
    Row {
        metric: Metric::FloodConnections,
        against: Against::Best,
        goal: None,
    },
];

/// How a row came out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// Our median.
    pub(crate) ours: Option<f64>,
    /// With whom it was compared, and that one's median.
    pub(crate) other: Option<(String, f64)>,
    /// How much better ours is; more than 1 is better.
    pub(crate) ratio: Option<f64>,
    /// Whether the goal was reached; `None` without one. What was not measured was not
    /// reached.
    pub(crate) met: Option<bool>,
}

impl Row {
    /// What the samples say.
    pub(crate) fn outcome(&self, samples: &Samples) -> Outcome {
        let ours = samples.median(self.metric, OURS);
        let other = self.other(samples);
        let ratio = ours
            .zip(other.as_ref())
            .map(|(ours, (_, other))| {
                if self.metric.more_is_better() {
                    ours / other
                } else {
                    other / ours
                }
            })
            .filter(|ratio| ratio.is_finite());
        let met = self.goal.map(|goal| match goal {
            Goal::Times(times) => ratio.is_some_and(|ratio| ratio >= times),
            Goal::Value(limit) if self.metric.more_is_better() => {
                ours.is_some_and(|ours| ours >= limit)
            }
            Goal::Value(limit) => ours.is_some_and(|ours| ours <= limit),
        });
        Outcome {
            ours,
            other,
            ratio,
            met,
        }
    }

    fn other(&self, samples: &Samples) -> Option<(String, f64)> {
        match self.against {
            Against::Own(metric) => {
                let value = samples.median(metric, OURS)?;
                Some((metric.text().to_owned(), value))
            }
            Against::Peer(name) => Some((name.to_owned(), samples.median(self.metric, name)?)),
            Against::Best => self.best(samples, |_| true),
            Against::BestAt1500 => self.best(samples, |name| name.ends_with("1500")),
        }
    }

    fn best(&self, samples: &Samples, is_asked: impl Fn(&str) -> bool) -> Option<(String, f64)> {
        let is_better = |one: f64, other: f64| {
            if self.metric.more_is_better() {
                one > other
            } else {
                one < other
            }
        };
        samples
            .engines(self.metric)
            .filter(|name| ![OURS, BARE, DIRECT].contains(name) && is_asked(name))
            .filter_map(|name| Some((name.to_owned(), samples.median(self.metric, name)?)))
            .reduce(|best, peer| {
                if is_better(peer.1, best.1) {
                    peer
                } else {
                    best
                }
            })
    }

    /// The goal in words.
    pub(crate) fn goal_text(&self) -> Option<String> {
        let sign = if self.metric.more_is_better() {
            "at least"
        } else {
            "at most"
        };
        Some(match self.goal? {
            Goal::Value(value) => format!("{sign} {value} {}", self.metric.unit())
                .trim_end()
                .to_owned(),
            Goal::Times(times) => format!("{times} x {}", self.against_text()),
        })
    }

    fn against_text(&self) -> &'static str {
        match self.against {
            Against::Best => "the best peer",
            Against::BestAt1500 => "the best at MTU 1500",
            Against::Peer(name) => name,
            Against::Own(metric) => metric.text(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[(Metric, &str, f64)]) -> Samples {
        let mut samples = Samples::default();
        for (metric, engine, value) in of {
            samples.add(*metric, engine, *value);
        }
        samples
    }

    #[test]
    fn less_is_better_where_it_is_a_cost() {
        let row = row(Metric::UpCost, Against::Best, Goal::Times(2.0));
        let some = [
            (Metric::UpCost, OURS, 0.2),
            (Metric::UpCost, DIRECT, 0.0),
            (Metric::UpCost, BARE, 0.1),
            (Metric::UpCost, "a", 0.5),
            (Metric::UpCost, "b", 0.4),
        ];
        let outcome = row.outcome(&samples(&some));
        assert_eq!(outcome.other, Some(("b".to_owned(), 0.4)));
        assert_eq!((outcome.ratio, outcome.met), (Some(2.0), Some(true)));
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        for row in ROWS {
            let outcome = row.outcome(&Samples::default());
            assert_eq!(outcome.met, row.goal.map(|_| false), "{row:?}");
        }
        let up = row(Metric::Up, Against::Peer("hev"), Goal::Times(2.8));
        let alone = samples(&[(Metric::Up, OURS, 30.0), (Metric::Up, "other", 1.0)]);
        assert_eq!(up.outcome(&alone).met, Some(false));
    }
}
