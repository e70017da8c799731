//! What an attack leaves of service, judged from pairs of slices of time, with it and
//! without it.
//!
//! What else the machine does weighs on both slices of a pair, and on one of them more
//! than on the other by chance. So pairs are counted, of which there are always as many: a
//! sign test of "at least half of the pairs reach 95 %", which holds for any spread.
//! Fails [`Service::is_kept`] if [`TOO_FEW`] of [`PAIRS`] or fewer reach it: with chance
//! 0.58 % if half of them do, 0.007 % if 60 % do; if under an attack 20 % do it is missed
//! with chance 5.2 %, if 15 % do with 0.55 %, if 10 % do with 0.012 %. Nothing ends it
//! sooner.

use serde::Serialize;

/// What of the service must be left under attack.
const KEPT: f64 = 0.95;
/// Pairs of slices that are compared.
pub const PAIRS: usize = 41;
/// With so many of them that reach [`KEPT`], or fewer, the service is not kept.
const TOO_FEW: usize = 12;

/// What is left of service under attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Service {
    /// Bytes moved under attack, as a part of those without: the middle of all pairs.
    pub median: f64,
    /// Pairs of slices in which at least 95 % were left.
    pub reached: usize,
    /// Pairs of slices that were compared.
    pub pairs: usize,
}

impl Service {
    /// From the bytes of each pair of slices: without the attack, and under it.
    pub(crate) fn of(pairs: &[(u64, u64)]) -> Self {
        let mut ratios: Vec<f64> = pairs.iter().map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        Self {
            median: ratios.get(ratios.len() / 2).copied().unwrap_or(0.0),
            reached: ratios.iter().filter(|ratio| **ratio >= KEPT).count(),
            pairs: ratios.len(),
        }
    }

    /// Whether nothing says that less than 95 % is left.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.reached > TOO_FEW
    }
}

fn ratio((without, under): &(u64, u64)) -> f64 {
    let bytes = |bytes: u64| f64::from(u32::try_from(bytes / 1_024).unwrap_or(u32::MAX));
    bytes(*under) / bytes(*without).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Pairs of which so many keep all of the service, and the rest four fifths.
    fn service(kept: usize) -> Service {
        let pair = |n| (100 * MIB, if n < kept { 100 * MIB } else { 80 * MIB });
        Service::of(&(0..PAIRS).map(pair).collect::<Vec<_>>())
    }

    /// The chance that at most `most` of [`PAIRS`] reach what each does with chance `one`.
    fn chance_of_at_most(most: usize, one: f64) -> f64 {
        let mut exactly = (0..PAIRS).fold(1.0, |all, _| all * (1.0 - one));
        let mut sum = exactly;
        for reached in 1..=u32::try_from(most).unwrap() {
            let left = f64::from(u32::try_from(PAIRS).unwrap() - reached + 1);
            exactly *= left / f64::from(reached) * one / (1.0 - one);
            sum += exactly;
        }
        sum
    }

    #[test]
    fn a_service_is_lost_when_too_few_pairs_keep_it() {
        assert!(!service(0).is_kept());
        assert!(!service(TOO_FEW).is_kept());
        assert!(service(TOO_FEW + 1).is_kept());
        assert!(service(PAIRS).is_kept());
        assert!((service(20).median - 0.8).abs() < 1e-9);
        assert!((service(21).median - 1.0).abs() < 1e-9);
        assert!(!Service::of(&[(MIB, 0); PAIRS]).is_kept());
        assert!(!Service::of(&[]).is_kept());
    }

    #[test]
    fn the_chances_are_as_documented() {
        let false_alarm = |one| chance_of_at_most(TOO_FEW, one);
        let miss = |one| 1.0 - chance_of_at_most(TOO_FEW, one);
        for (chance, documented) in [
            (false_alarm(0.5), 0.0058),
            (false_alarm(0.6), 0.000_07),
            (miss(0.2), 0.052),
            (miss(0.15), 0.0055),
            (miss(0.1), 0.000_12),
        ] {
            let off: f64 = chance / documented;
            assert!((0.95..1.05).contains(&off), "{chance}, not {documented}");
        }
    }
}
