//! The product's own data path to a server, with encrypted records and without.

use super::{Measurement, Subject};
use crate::engines::Engine;
use crate::load::Direction;
use crate::metric::Metric;
use crate::place::From;
use crate::samples::{OURS, Samples};

/// The rate and the cost of one direction, with records or without.
struct Way {
    records: bool,
    direction: Direction,
    rate: Metric,
    cost: Metric,
}

const WAYS: [Way; 4] = [
    Way {
        records: false,
        direction: Direction::Up,
        rate: Metric::CarriedUp,
        cost: Metric::CarriedUpCost,
    },
    Way {
        records: false,
        direction: Direction::Down,
        rate: Metric::CarriedDown,
        cost: Metric::CarriedDownCost,
    },
    Way {
        records: true,
        direction: Direction::Up,
        rate: Metric::RecordsUp,
        cost: Metric::RecordsUpCost,
    },
    Way {
        records: true,
        direction: Direction::Down,
        rate: Metric::RecordsDown,
        cost: Metric::RecordsDownCost,
    },
];

impl Measurement<'_> {
    /// Our engine alone: the peers of the other loads speak SOCKS 5.
    pub(super) fn records(&self, engine: &Engine, samples: &mut Samples) -> anyhow::Result<()> {
        if engine.name != OURS {
            return Ok(());
        }
        for way in &WAYS {
            let link = self.node.link(way.records);
            let carrier = Engine::carrier(&link, &self.node.authority())?;
            let mut subject = Subject {
                name: OURS,
                running: carrier.start(self.place)?,
                samples,
            };
            let what = (From::Client, way.direction, 1);
            self.stream(&mut subject, what, way.rate, Some(way.cost))?;
        }
        Ok(())
    }
}
