//! How often something may happen (the generic cell rate algorithm).

use std::time::Duration;

/// A steady rate with room for a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    interval: Duration,
    burst: u32,
}

impl Rate {
    /// `calls` in every `per`, and as many at once.
    #[must_use]
    pub const fn new(calls: u32, per: Duration) -> Self {
        let calls = if calls == 0 { 1 } else { calls };
        let nanos = per.as_nanos() / calls as u128;
        let nanos = if nanos > 1 << 62 { 1 << 62 } else { nanos };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 2^62, checked above"
        )]
        let interval = Duration::from_nanos(nanos as u64);
        Self {
            interval,
            burst: calls,
        }
    }

    /// `calls` in every second, and as many at once.
    #[must_use]
    pub const fn per_sec(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(1))
    }

    /// The same rate with room for this many at once.
    #[must_use]
    pub const fn burst(mut self, calls: u32) -> Self {
        self.burst = if calls == 0 { 1 } else { calls };
        self
    }
}

/// How far a rate has been used up. Time is what the caller says it is: the
/// time passed since any fixed moment.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// When the rate is back to its full burst.
    full_at: Duration,
}

#[cfg(feature = "server")]
impl Pace {
    /// Takes one turn and says how long to wait before it may be used.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration) -> Duration {
        let full_at = self.full_at.max(now).saturating_add(rate.interval);
        self.full_at = full_at;
        let room = rate.interval.saturating_mul(rate.burst);
        full_at.saturating_sub(room).saturating_sub(now)
    }

    /// Whether nothing of the rate is used up.
    #[must_use]
    pub(crate) fn is_rested(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn a_burst_passes_at_once_and_the_rest_is_paced() {
        let rate = Rate::per_sec(10).burst(3);
        let mut pace = Pace::default();
        let waits: Vec<u128> = (0..5).map(|_| pace.take(rate, NOW).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
    }

    #[test]
    fn what_is_used_up_comes_back_at_the_rate() {
        let rate = Rate::per_sec(10).burst(2);
        let mut pace = Pace::default();
        assert!(pace.is_rested(NOW));
        assert_eq!(pace.take(rate, NOW), Duration::ZERO);
        assert_eq!(pace.take(rate, NOW), Duration::ZERO);
        assert!(!pace.is_rested(NOW + Duration::from_millis(199)));
        assert!(pace.is_rested(NOW + Duration::from_millis(200)));
        let later = NOW + Duration::from_millis(100);
        assert_eq!(pace.take(rate, later), Duration::ZERO);
        assert_eq!(pace.take(rate, later).as_millis(), 100);
    }

    #[test]
    fn absurd_rates_do_not_overflow() {
        let rate = Rate::new(0, Duration::MAX).burst(u32::MAX);
        let mut pace = Pace::default();
        for _ in 0..10 {
            pace.take(rate, Duration::MAX);
        }
    }
}
