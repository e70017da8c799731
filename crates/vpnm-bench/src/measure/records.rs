//! The product's own data path to a server, with encrypted records and without.

use super::{Measurement, Subject};
use crate::engines::Engine;
use crate::load::Direction;
use crate::metric::Metric;
use crate::node::Wire;
use crate::place::From;
use crate::samples::{OURS, Samples};

/// The rate and the cost of one direction on one wire.
struct Way {
    wire: Wire,
    direction: Direction,
    rate: Metric,
    cost: Metric,
}

const WAYS: [Way; 5] = [
    Way {
        wire: Wire::Plain,
        direction: Direction::Up,
        rate: Metric::CarriedUp,
        cost: Metric::CarriedUpCost,
    },
    Way {
        wire: Wire::Plain,
        direction: Direction::Down,
        rate: Metric::CarriedDown,
        cost: Metric::CarriedDownCost,
    },
    Way {
        wire: Wire::Records,
        direction: Direction::Up,
        rate: Metric::RecordsUp,
        cost: Metric::RecordsUpCost,
    },
    Way {
        wire: Wire::Records,
        direction: Direction::Down,
        rate: Metric::RecordsDown,
        cost: Metric::RecordsDownCost,
    },
    Way {
        wire: Wire::Vmess,
        direction: Direction::Up,
        rate: Metric::VmessUp,
        cost: Metric::VmessUpCost,
    },
];

impl Measurement<'_> {
    /// Our engine alone: the peers of the other loads speak SOCKS 5.
    pub(super) fn records(&self, engine: &Engine, samples: &mut Samples) -> anyhow::Result<()> {
        if engine.name != OURS {
            return Ok(());
        }
        for way in &WAYS {
            let link = self.node.link(way.wire);
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
