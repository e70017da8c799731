//! The clocks the daemon reads.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
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
        self.notes(time_asleep())
    }

    /// Notes how long the machine has slept so far; whether that is much more.
    fn notes(&mut self, asleep: Duration) -> bool {
        let before = std::mem::replace(&mut self.asleep, asleep);
        asleep.saturating_sub(before) >= SLEPT
    }
}

/// A timer that never ends and becomes readable when it is cancelled, which the kernel
/// does when the machine wakes up or its clock is set (timerfd_create(2)): the timers
/// of sleep stand still, and nothing else need happen for half a minute.
pub(crate) fn jump() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    let never = Timespec {
        tv_sec: i64::MAX,
        tv_nsec: 0,
    };
    let none = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let time = Itimerspec {
        it_interval: none,
        it_value: never,
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(&timer, flags, &time)?;
    Ok(timer)
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

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    #[test]
    fn a_machine_that_stays_awake_does_not_wake() {
        let jump = jump().unwrap();
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        let ready = poll(&mut [PollFd::new(&jump, PollFlags::IN)], Some(&moment));
        assert_eq!(ready, Ok(0));
        assert!(!Clock::start().slept());
    }

    #[test]
    fn each_sleep_is_noticed_once() {
        let mut clock = Clock::start();
        let slept = |seconds: u64| Duration::from_secs(1_000 + seconds);
        clock.notes(slept(0));
        assert!(!clock.notes(slept(1)), "a nap");
        assert!(clock.notes(slept(3600)));
        assert!(!clock.notes(slept(3600)), "awake since");
        assert!(clock.notes(slept(3602)), "again");
        assert!(
            !clock.notes(Duration::ZERO),
            "a clock that was read wrongly"
        );
    }
}
