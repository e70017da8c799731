//! Which flow wants to be woken next.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::event::FlowId;

/// An alarm that was set: when it rings, and a number that tells it from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alarm {
    pub(crate) at: Instant,
    count: u64,
}

/// Alarms in the order of their time, and of their setting where times are equal.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    alarms: BTreeMap<Alarm, FlowId>,
    count: u64,
    moved: bool,
}

impl Timers {
    /// Sets an alarm in the place of the one before, so that a flow never has two: those
    /// of an idle flow lie hours ahead, and each exchange would leave one behind.
    pub(crate) fn set(&mut self, before: Option<Alarm>, at: Instant, id: FlowId) -> Alarm {
        if let Some(before) = before {
            self.cancel(before);
        }
        self.note(at);
        self.count += 1;
        let alarm = Alarm {
            at,
            count: self.count,
        };
        self.alarms.insert(alarm, id);
        alarm
    }

    /// Something else is due at `at`.
    pub(crate) fn note(&mut self, at: Instant) {
        self.moved |= self.next().is_none_or(|next| at < next);
    }

    /// Takes an alarm back.
    pub(crate) fn cancel(&mut self, alarm: Alarm) {
        self.alarms.remove(&alarm);
    }

    /// When the next alarm rings.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.alarms.first_key_value().map(|(alarm, _)| alarm.at)
    }

    /// Whose alarm rings next.
    pub(crate) fn next_flow(&self) -> Option<FlowId> {
        self.alarms.first_key_value().map(|(_, id)| *id)
    }

    /// The next alarm that rings at `now` or before.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<FlowId> {
        if self.next()? > now {
            return None;
        }
        self.alarms.pop_first().map(|(_, id)| id)
    }

    /// Whether the next alarm became earlier since this was last asked.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// How many alarms are set.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.alarms.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn alarms_ring_in_order_and_not_early() {
        let start = Instant::now();
        let id = |slot| FlowId {
            slot,
            generation: 0,
        };
        let mut timers = Timers::default();
        timers.set(None, start + Duration::from_secs(2), id(0));
        timers.set(None, start + Duration::from_secs(1), id(1));
        timers.set(None, start + Duration::from_secs(1), id(2));
        let late = timers.set(None, start + Duration::from_secs(3), id(3));
        let early = timers.set(Some(late), start, id(3));
        timers.cancel(early);
        assert!(timers.take_moved() && !timers.take_moved());
        assert_eq!(timers.pop_due(start), None);
        let later = start + Duration::from_secs(5);
        let order: Vec<_> = std::iter::from_fn(|| timers.pop_due(later)).collect();
        assert_eq!(order, [id(1), id(2), id(0)]);
    }
}
