//! The clocks the daemon reads.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::ClockId;
use tokio::time::Instant;

use crate::tsm::Moment;

/// A machine that slept longer than this has to look at its connections.
const SLEPT: Duration = Duration::from_secs(2);

/// Time since the daemon started, and whether the machine slept.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    asleep: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
            asleep: time_asleep(),
        }
    }

    /// Time since the start, without the time asleep.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    /// When that moment is on the runtime's clock.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.0
    }

    /// Whether the machine slept since this was asked last.
    pub(crate) fn slept(&mut self) -> bool {
        let before = std::mem::replace(&mut self.asleep, time_asleep());
        self.asleep.saturating_sub(before) >= SLEPT
    }
}

/// How long the machine has slept since it was started: only one of the clocks
/// goes on meanwhile.
fn time_asleep() -> Duration {
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

fn read(clock: ClockId) -> Duration {
    let now = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Seconds since 1970-01-01 UTC.
pub(crate) fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}
