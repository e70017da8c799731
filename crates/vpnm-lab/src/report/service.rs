//! What an attack leaves of service, judged from pairs of slices of time, with it and
//! without it.
//!
//! What else the machine does weighs on both slices of a pair, and on one of them more
//! than on the other by chance. So there are always as many pairs, nothing ends it sooner,
//! and [`Service::is_kept`] fails in either of two cases:
//!
//! - [`TOO_FEW`] of [`PAIRS`] or fewer reach 95 %, a sign test of "at least half of the
//!   pairs do". It fails with chance 0.58 % if half of them do, 0.007 % if 60 % do, whatever
//!   the spread; if 20 % do it is missed with chance 5.2 %, if 15 % do with 0.55 %, if 10 %
//!   do with 0.012 %.
//! - The mean of all pairs is below 95 % by more than [`ERRORS`] standard errors of it:
//!   with chance 0.13 % if just 95 % are left, as far as the mean of so many is normal.
//!
//! How many pairs a loss leaves above 95 % depends on the spread. Where that is 10 % of the
//! service, a loss of 6 % in every pair is missed by the first with chance 98 % and by the
//! second with 99 %, one of 10 % with 51 % and 42 %, one of 12 % with 17 % and 7 %, one of
//! 15 % with 0.9 % and 0.03 %. Where it is 40 %, one of 20 % is missed with 74 % and 73 %,
//! one of 35 % with 12 % and 4 %, one of 50 % with 0.15 % by the first and hardly ever by
//! the second. Spreads of 32 to 81 % were seen on two cores beside other work: a loss of a
//! few percent is not found there, one of half of the service is as a rule.

use serde::Serialize;

/// What of the service must be left under attack.
const KEPT: f64 = 0.95;
/// Pairs of slices that are compared.
pub const PAIRS: usize = 41;
/// With so many of them that reach [`KEPT`], or fewer, the service is not kept.
const TOO_FEW: usize = 12;
/// So many standard errors are put down to chance.
const ERRORS: f64 = 3.0;

/// What is left of service under attack.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Service {
    /// Bytes moved under attack, as a part of those without: the middle of all pairs.
    pub median: f64,
    /// The mean of all pairs.
    pub mean: f64,
    /// The standard error of the mean.
    pub error: f64,
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
        let (mean, error) = mean_and_error(&ratios);
        Self {
            median: ratios.get(ratios.len() / 2).copied().unwrap_or(0.0),
            mean,
            error,
            reached: ratios.iter().filter(|ratio| **ratio >= KEPT).count(),
            pairs: ratios.len(),
        }
    }

    /// Whether nothing says that less than 95 % is left.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.reached > TOO_FEW && self.mean + ERRORS * self.error >= KEPT
    }
}

/// The mean and its standard error.
fn mean_and_error(ratios: &[f64]) -> (f64, f64) {
    let count = f64::from(u32::try_from(ratios.len()).unwrap_or(u32::MAX)).max(1.0);
    let mean = ratios.iter().sum::<f64>() / count;
    let squares: f64 = ratios.iter().map(|ratio| (ratio - mean).powi(2)).sum();
    let variance = squares / (count - 1.0).max(1.0);
    (mean, (variance / count).sqrt())
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
        assert!(service(TOO_FEW + 1).reached > TOO_FEW);
        assert!(service(PAIRS).is_kept());
        assert!((service(20).median - 0.8).abs() < 1e-9);
        assert!((service(21).median - 1.0).abs() < 1e-9);
        assert!(!Service::of(&[(MIB, 0); PAIRS]).is_kept());
        assert!(!Service::of(&[]).is_kept());
    }

    #[test]
    fn a_service_is_lost_when_the_mean_is_too_low() {
        // Half of the pairs keep all of it: a sign test alone would not mind.
        let half = |left: u64| {
            let pair = |n| (100 * MIB, if n % 2 == 0 { 100 * MIB } else { left * MIB });
            Service::of(&(0..PAIRS).map(pair).collect::<Vec<_>>())
        };
        let (some, much) = (half(88), half(60));
        assert!(some.reached > TOO_FEW && some.is_kept(), "{some:?}");
        assert!(much.reached > TOO_FEW && !much.is_kept(), "{much:?}");
        // Without any spread there is no chance to put it down to.
        let even = Service::of(&[(100 * MIB, 96 * MIB); PAIRS]);
        assert!(even.is_kept() && even.error < 1e-9, "{even:?}");
        let (mean, error) = mean_and_error(&[0.8, 0.9, 1.0, 1.1]);
        assert!((mean - 0.95).abs() < 1e-9, "{mean}");
        assert!((error - 0.064_549_722).abs() < 1e-6, "{error}");
    }

    /// The chance that a normal number is below `limit`.
    fn normal_below(limit: f64) -> f64 {
        const STEP: f64 = 0.001;
        let density = |at: f64| (-at * at / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let places = (0..16_000_u32).map(|step| -8.0 + STEP * (f64::from(step) + 0.5));
        places
            .take_while(|at| *at < limit)
            .map(density)
            .sum::<f64>()
            * STEP
    }

    #[test]
    fn what_is_missed_by_loss_is_as_documented() {
        let root = f64::from(u32::try_from(PAIRS).unwrap()).sqrt();
        for (spread, loss, by_count, by_mean) in [
            (0.1, 0.06, 0.98, 0.99),
            (0.1, 0.10, 0.51, 0.42),
            (0.1, 0.12, 0.17, 0.07),
            (0.1, 0.15, 0.009, 0.000_3),
            (0.4, 0.20, 0.74, 0.73),
            (0.4, 0.35, 0.12, 0.036),
        ] {
            let below = 1.0 - KEPT - loss;
            let missed = 1.0 - chance_of_at_most(TOO_FEW, normal_below(below / spread));
            let off = missed / by_count;
            assert!((0.95..1.05).contains(&off), "{loss}: {missed} by the count");
            let missed = normal_below(ERRORS + below * root / spread);
            let off = missed / by_mean;
            assert!((0.85..1.15).contains(&off), "{loss}: {missed} by the mean");
        }
        let false_alarm = 1.0 - normal_below(ERRORS);
        assert!((false_alarm - 0.0013).abs() < 0.0001, "{false_alarm}");
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
