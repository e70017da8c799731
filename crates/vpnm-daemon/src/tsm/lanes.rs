//! What is being carried out.

use super::effect::{Effect, Lane};
use super::event::Ticket;

/// The running effect of each lane, and the numbers that tell orders apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    host: Option<(Ticket, Effect)>,
    engine: Option<(Ticket, Effect)>,
    last: u64,
}

impl Lanes {
    fn slot(&mut self, lane: Lane) -> &mut Option<(Ticket, Effect)> {
        match lane {
            Lane::Host => &mut self.host,
            Lane::Engine => &mut self.engine,
        }
    }

    /// Begins an effect in its lane.
    pub(super) fn begin(&mut self, effect: Effect) -> Ticket {
        self.last += 1;
        let ticket = Ticket(self.last);
        let slot = self.slot(effect.lane());
        *slot = Some((ticket, effect));
        ticket
    }

    /// Takes the effect that ended; `None` if it was abandoned before.
    pub(super) fn end(&mut self, ticket: Ticket) -> Option<Effect> {
        for lane in [Lane::Host, Lane::Engine] {
            let ended = self.slot(lane).take_if(|(running, _)| *running == ticket);
            if let Some((_, effect)) = ended {
                return Some(effect);
            }
        }
        None
    }

    /// Forgets what runs in the engine's lane and returns it.
    pub(super) fn abandon_engine(&mut self) -> Option<Effect> {
        self.engine.take().map(|(_, effect)| effect)
    }

    /// What runs in a lane.
    pub(super) fn running(&self, lane: Lane) -> Option<&Effect> {
        let slot = match lane {
            Lane::Host => &self.host,
            Lane::Engine => &self.engine,
        };
        slot.as_ref().map(|(_, effect)| effect)
    }

    /// Whether nothing runs.
    pub(super) fn are_idle(&self) -> bool {
        self.host.is_none() && self.engine.is_none()
    }
}
