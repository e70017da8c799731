//! Which flow wants to be woken next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use crate::event::FlowId;

/// Alarms in the order of their time, and of their setting where times are equal.
///
/// An alarm is never taken back: who no longer needs it looks and sets another.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    alarms: BinaryHeap<Reverse<(Instant, u64, FlowId)>>,
    count: u64,
    moved: bool,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, id: FlowId) {
        if self.next().is_none_or(|next| at < next) {
            self.moved = true;
        }
        self.count += 1;
        self.alarms.push(Reverse((at, self.count, id)));
    }

    /// When the next alarm rings.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.alarms.peek().map(|Reverse((at, ..))| *at)
    }

    /// Whose alarm rings next.
    pub(crate) fn next_flow(&self) -> Option<FlowId> {
        self.alarms.peek().map(|Reverse((.., id))| *id)
    }

    /// The next alarm that rings at `now` or before.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<FlowId> {
        if self.next()? > now {
            return None;
        }
        self.alarms.pop().map(|Reverse((.., id))| id)
    }

    /// Whether the next alarm became earlier since this was last asked.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// Returns memory that a burst of flows needed.
    pub(crate) fn shrink(&mut self) {
        if self.alarms.len() * 4 < self.alarms.capacity() {
            self.alarms.shrink_to(self.alarms.len() * 2);
        }
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
        timers.set(start + Duration::from_secs(2), id(0));
        timers.set(start + Duration::from_secs(1), id(1));
        timers.set(start + Duration::from_secs(1), id(2));
        assert!(timers.take_moved() && !timers.take_moved());
        assert_eq!(timers.pop_due(start), None);
        let later = start + Duration::from_secs(5);
        let order: Vec<_> = std::iter::from_fn(|| timers.pop_due(later)).collect();
        assert_eq!(order, [id(1), id(2), id(0)]);
    }
}
