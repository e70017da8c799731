//! Whether anything still comes back through the outbound.
//!
//! Evidence comes from the traffic itself; doubt is settled by a probe of our
//! own, so that one unreachable site never makes a tunnel suspect.

use std::time::{Duration, Instant};

use vpnm_api::Failure;
use vpnm_api::engine::Health;

/// What takes longer makes the tunnel suspect, unless it took long from the start: a
/// dial that is late and then a probe, which together are within two seconds.
const DOUBT_AFTER: Duration = Duration::from_millis(800);
/// A probe fails after this long, unless answers took long from the start.
const PROBE_LIMIT: Duration = Duration::from_secs(4);
/// Doubt is no reason to probe so shortly after an answer.
pub const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Probes follow one another at this distance while there is doubt: a server that
/// refuses is said to be down after a second.
pub const PROBE_AGAIN: Duration = Duration::from_millis(500);
/// A tunnel nobody uses is probed when the last answer is this old: a server that died
/// silently is found out before somebody needs it. Each probe is some 6 kB.
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// Failed probes in a row that make the tunnel down.
const DOWN_AFTER: u32 = 3;

/// The judgement and what led to it.
#[derive(Debug)]
pub struct Vitals {
    health: Health,
    failed_probes: u32,
    probing: bool,
    begun: Instant,
    last_answer: Option<Instant>,
    /// What one probe takes on a good day.
    usual: Duration,
}

/// What follows from an observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing new.
    Same,
    /// The judgement changed.
    Changed(Health, Option<Failure>),
}

impl Vitals {
    /// A tunnel that was verified `now`, which took `usual`.
    #[must_use]
    pub fn new(usual: Duration, now: Instant) -> Self {
        Self {
            health: Health::Up,
            failed_probes: 0,
            probing: false,
            begun: now,
            last_answer: None,
            usual,
        }
    }

    /// After this time a dial or a probe is late.
    #[must_use]
    pub fn doubt_after(&self) -> Duration {
        DOUBT_AFTER.max(self.usual * 2)
    }

    /// After this time a probe has failed.
    #[must_use]
    pub fn probe_limit(&self) -> Duration {
        PROBE_LIMIT.max(self.usual * 4)
    }

    /// In how long the tunnel has been without an answer for too long.
    #[must_use]
    pub fn idle_in(&self, now: Instant) -> Duration {
        let last = self.last_answer.unwrap_or(self.begun);
        IDLE_LIMIT.saturating_sub(now.saturating_duration_since(last))
    }

    /// The judgement.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health
    }

    /// Something came back through the outbound.
    pub fn on_answer(&mut self, now: Instant) -> Verdict {
        self.last_answer = Some(now);
        self.failed_probes = 0;
        self.become_(Health::Up, None)
    }

    /// Something failed that may be the outbound's fault; true when a probe is to begin.
    pub fn on_doubt(&mut self, now: Instant) -> bool {
        let just_answered = self
            .last_answer
            .is_some_and(|then| now.saturating_duration_since(then) < PROBE_EVERY);
        let begin = !self.probing && !just_answered;
        self.probing |= begin;
        begin
    }

    /// A probe is late or failed.
    pub fn on_probe_late(&mut self, why: Failure) -> Verdict {
        match self.health {
            Health::Up => self.become_(Health::Suspect, Some(why)),
            Health::Suspect | Health::Down => Verdict::Same,
        }
    }

    /// A probe failed for good.
    pub fn on_probe_failed(&mut self, why: Failure) -> Verdict {
        self.failed_probes = self.failed_probes.saturating_add(1);
        if self.failed_probes >= DOWN_AFTER {
            self.become_(Health::Down, Some(why))
        } else {
            self.on_probe_late(why)
        }
    }

    /// Probing ended: the tunnel is up, or there is none.
    pub fn on_probes_end(&mut self) {
        self.probing = false;
    }

    fn become_(&mut self, health: Health, why: Option<Failure>) -> Verdict {
        if self.health == health {
            return Verdict::Same;
        }
        self.health = health;
        Verdict::Changed(health, why)
    }
}

#[cfg(test)]
mod tests {
    use vpnm_api::Code;

    use super::*;

    #[test]
    fn three_failed_probes_are_down_and_one_answer_is_up() {
        let now = Instant::now();
        let mut vitals = Vitals::new(Duration::ZERO, Instant::now());
        let why = || Failure::from(Code::TimedOut);
        assert!(vitals.on_doubt(now));
        assert!(!vitals.on_doubt(now), "one probe at a time");
        let suspect = Verdict::Changed(Health::Suspect, Some(why()));
        assert_eq!(vitals.on_probe_late(why()), suspect);
        assert_eq!(vitals.on_probe_failed(why()), Verdict::Same);
        assert_eq!(vitals.on_probe_failed(why()), Verdict::Same);
        let down = Verdict::Changed(Health::Down, Some(why()));
        assert_eq!(vitals.on_probe_failed(why()), down);
        assert_eq!(vitals.on_answer(now), Verdict::Changed(Health::Up, None));
    }

    #[test]
    fn a_slow_tunnel_is_given_more_time() {
        let slow = Vitals::new(Duration::from_secs(2), Instant::now());
        assert_eq!(slow.doubt_after(), Duration::from_secs(4));
        assert_eq!(slow.probe_limit(), Duration::from_secs(8));
        assert_eq!(
            Vitals::new(Duration::ZERO, Instant::now()).doubt_after(),
            DOUBT_AFTER
        );
    }

    #[test]
    fn a_failure_right_after_an_answer_is_no_doubt() {
        let now = Instant::now();
        let mut vitals = Vitals::new(Duration::ZERO, Instant::now());
        assert_eq!(vitals.on_answer(now), Verdict::Same);
        assert!(!vitals.on_doubt(now + Duration::from_millis(500)));
        assert!(vitals.on_doubt(now + Duration::from_secs(2)));
    }

    #[test]
    fn a_tunnel_nobody_uses_is_looked_at_once_a_minute() {
        let begin = Instant::now();
        let mut vitals = Vitals::new(Duration::ZERO, begin);
        assert_eq!(vitals.idle_in(begin), IDLE_LIMIT);
        let later = begin + Duration::from_secs(50);
        assert_eq!(vitals.idle_in(later), Duration::from_secs(10));
        vitals.on_answer(later);
        assert_eq!(vitals.idle_in(later), IDLE_LIMIT);
        assert_eq!(vitals.idle_in(later + 2 * IDLE_LIMIT), Duration::ZERO);
    }
}
