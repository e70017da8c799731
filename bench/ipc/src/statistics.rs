//! Of many measurements, the ones that say something.

use std::time::{Duration, Instant};

/// The value that `share` of all are not above; sorts them.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (0..values.len())
        .find(|place| as_float(place + 1) >= share * as_float(values.len()))
        .unwrap_or(0);
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// How many in a second.
pub fn rate(count: usize, since: Instant) -> f64 {
    as_float(count) / since.elapsed().as_secs_f64()
}

/// Microseconds.
pub fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

fn as_float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.5), 50.0);
        assert_eq!(quantile(&mut values, 0.99), 99.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
    }
}
