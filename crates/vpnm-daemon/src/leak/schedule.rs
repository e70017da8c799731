//! When the next check is due. Pure: time is told.

use std::time::Duration;

use crate::tsm::Moment;

/// A change is checked so long after it, when its dust has settled.
const AFTER: Duration = Duration::from_millis(300);
/// From one check to the next, if a reason is urgent.
const APART: Duration = Duration::from_secs(4);
/// And if it is not: interfaces and routes of others come and go.
const FAR_APART: Duration = Duration::from_secs(30);

/// How soon a reason wants a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// The state is another, the packet filter was touched, or something got out.
    Soon,
    /// Anything else of the network changed.
    Later,
}

/// When checks are made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schedule {
    due: Option<Moment>,
    last: Option<Moment>,
}

impl Schedule {
    /// There is a reason for a check.
    pub(crate) fn want(&mut self, urgency: Urgency, now: Moment) {
        let apart = match urgency {
            Urgency::Soon => APART,
            Urgency::Later => FAR_APART,
        };
        let earliest = self.last.map_or(now, |last| last + apart);
        let at = earliest.max(now + AFTER);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// When the next check is due, if any is.
    pub(crate) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// A check is made now, or is of no use now.
    pub(crate) fn done(&mut self, now: Moment) {
        self.due = None;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment(Duration::from_millis(millis))
    }

    #[test]
    fn reasons_share_a_check_and_the_urgent_one_counts() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.due(), None);
        schedule.want(Urgency::Soon, at(1_000));
        schedule.want(Urgency::Soon, at(1_200));
        assert_eq!(schedule.due(), Some(at(1_300)));
        schedule.done(at(1_300));
        schedule.want(Urgency::Later, at(1_400));
        assert_eq!(schedule.due(), Some(at(31_300)));
        schedule.want(Urgency::Soon, at(1_500));
        assert_eq!(schedule.due(), Some(at(5_300)));
        schedule.done(at(5_300));
        assert_eq!(schedule.due(), None);
    }

    #[test]
    fn a_filter_that_is_touched_is_checked_within_five_seconds() {
        for since_last in 0..10_000 {
            let mut schedule = Schedule::default();
            schedule.done(at(0));
            schedule.want(Urgency::Soon, at(since_last));
            let wait = schedule.due().unwrap().since(at(since_last));
            assert!(wait <= Duration::from_secs(5), "{wait:?}");
        }
    }
}
