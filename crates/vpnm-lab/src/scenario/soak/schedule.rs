//! From a seed to an order of faults: the same one every time. Pure.

use std::time::Duration;

use super::fault::{Claim, Fault, all};

/// Whether a fault comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It happens.
    Begins,
    /// What lasted is put right.
    Ends,
}

/// Something that happens at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    /// From the start.
    pub(super) at: Duration,
    pub(super) turn: Turn,
    pub(super) fault: &'static Fault,
}

/// What happens within `length`: sorted by time, each lasting fault ended
/// before the end, and of those that have hold of the same thing only one at
/// a time.
pub(super) fn schedule(seed: u64, length: Duration) -> Vec<Event> {
    let mut dice = Dice(seed);
    let mut events = Vec::new();
    let mut held: Vec<(Claim, Duration)> = Vec::new();
    let mut now = dice.pause();
    while now < length {
        held.retain(|(_, until)| *until > now);
        let fault = dice.fault();
        let lasts = dice.span();
        let is_free = held.iter().all(|(claim, _)| *claim != fault.claim);
        if is_free && now + lasts < length {
            events.push(Event {
                at: now,
                turn: Turn::Begins,
                fault,
            });
            if fault.lasts() {
                held.push((fault.claim, now + lasts));
                events.push(Event {
                    at: now + lasts,
                    turn: Turn::Ends,
                    fault,
                });
            }
        }
        now += dice.pause();
    }
    // Stable: what begins and ends at one time stays in order.
    events.sort_by_key(|event| event.at);
    events
}

/// A linear congruential generator (Knuth, MMIX): its order is its seed's.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    /// One of the numbers below `sides`.
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // The upper half: the lower bits of such a generator repeat soon.
        let upper = u32::try_from(self.0 >> 32).unwrap_or(0);
        upper % sides.max(1)
    }

    fn millis(&mut self, from: u32, to: u32) -> Duration {
        Duration::from_millis(u64::from(from + self.roll(to - from)))
    }

    /// Time between two faults: often none, or none to speak of, so that one hits
    /// while the last is still being dealt with.
    fn pause(&mut self) -> Duration {
        match self.roll(8) {
            0 => Duration::ZERO,
            1 | 2 => self.millis(0, 20),
            3..=5 => self.millis(20, 400),
            _ => self.millis(400, 2_500),
        }
    }

    /// How long a fault lasts.
    fn span(&mut self) -> Duration {
        match self.roll(4) {
            0 => self.millis(5, 60),
            1 | 2 => self.millis(60, 900),
            _ => self.millis(900, 4_000),
        }
    }

    fn fault(&mut self) -> &'static Fault {
        let weights: u32 = all().map(|fault| fault.weight).sum();
        let mut left = self.roll(weights);
        for fault in all() {
            if left < fault.weight {
                return fault;
            }
            left -= fault.weight;
        }
        unreachable!("a roll is below the sum of the weights")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn told(events: &[Event]) -> Vec<(Duration, Turn, &'static str)> {
        let tell = |event: &Event| (event.at, event.turn, event.fault.name);
        events.iter().map(tell).collect()
    }

    #[test]
    fn a_seed_is_an_order() {
        for seed in 0..50 {
            let once = told(&schedule(seed, MINUTE));
            assert_eq!(once, told(&schedule(seed, MINUTE)), "seed {seed}");
            assert_ne!(once, told(&schedule(seed + 1, MINUTE)), "seed {seed}");
            assert!(once.len() > 40, "seed {seed}: {}", once.len());
        }
    }

    #[test]
    fn what_lasts_ends_in_time_and_holds_alone() {
        for seed in 0..500 {
            let mut holders: Vec<&'static Fault> = Vec::new();
            let mut last = Duration::ZERO;
            for event in schedule(seed, MINUTE) {
                assert!(event.at >= last && event.at < MINUTE, "seed {seed}");
                last = event.at;
                let fault = event.fault;
                match event.turn {
                    Turn::Begins => {
                        let mut claims = holders.iter().map(|holder| holder.claim);
                        assert!(claims.all(|claim| claim != fault.claim), "{}", fault.name);
                        holders.extend(fault.lasts().then_some(fault));
                    }
                    Turn::Ends => {
                        let before = holders.len();
                        holders.retain(|holder| holder.name != fault.name);
                        assert_eq!(holders.len() + 1, before, "seed {seed}: {}", fault.name);
                    }
                }
            }
            assert!(holders.is_empty(), "seed {seed}: {holders:?}");
        }
    }

    #[test]
    fn every_fault_comes_in_an_hour() {
        let events = schedule(1, 60 * MINUTE);
        let names: BTreeSet<&str> = events.iter().map(|event| event.fault.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
