//! How long an upstream takes to answer (RFC 6298, with bounds for DNS).

use std::time::Duration;

/// A late answer is suspect no earlier than this.
const LEAST: Duration = Duration::from_millis(100);
/// A late answer is suspect no later than this, and at first.
const MOST: Duration = Duration::from_secs(1);

/// Smoothed round trip time and its variation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RoundTrip {
    smoothed: Option<(Duration, Duration)>,
}

impl RoundTrip {
    /// Takes one measurement in.
    pub(crate) fn observe(&mut self, sample: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (sample, sample / 2),
            Some((mean, variation)) => {
                let apart = mean.abs_diff(sample);
                (mean * 7 / 8 + sample / 8, variation * 3 / 4 + apart / 4)
            }
        });
    }

    /// The smoothed time, or the longest that is waited when nothing was measured.
    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed.map_or(MOST, |(mean, _)| mean)
    }

    /// When an answer counts as late.
    pub(crate) fn timeout(&self) -> Duration {
        self.smoothed.map_or(MOST, |(mean, variation)| {
            (mean + 4 * variation).clamp(LEAST, MOST)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_path() {
        let mut trip = RoundTrip::default();
        assert_eq!(trip.timeout(), MOST);
        for _ in 0..50 {
            trip.observe(Duration::from_millis(20));
        }
        assert_eq!(trip.timeout(), LEAST);
        for _ in 0..50 {
            trip.observe(Duration::from_millis(400));
        }
        assert!(trip.timeout() >= Duration::from_millis(400));
        trip.observe(Duration::from_secs(60));
        assert_eq!(trip.timeout(), MOST);
    }
}
