//! The retransmission time-out (RFC 6298).

use std::time::{Duration, Instant};

use vpnm_wire::Seq;

/// Before anything was measured (RFC 6298 section 2.1).
const INITIAL: Duration = Duration::from_secs(1);
/// As Linux; the RFC's second would stall a flow far too long on a local link.
const MIN: Duration = Duration::from_millis(200);
/// As Linux.
const MAX: Duration = Duration::from_secs(120);

/// Measures round trips, one at a time.
#[derive(Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variance: Duration,
    /// The segment being timed ends here and was sent then.
    timed: Option<(Seq, Instant)>,
    /// How often the time-out has doubled.
    backoff: u32,
}

impl RoundTrip {
    pub(crate) fn new() -> Self {
        Self {
            smoothed: None,
            variance: Duration::ZERO,
            timed: None,
            backoff: 0,
        }
    }

    /// New data up to `end` was sent.
    pub(crate) fn on_sent(&mut self, end: Seq, now: Instant) {
        if self.timed.is_none() {
            self.timed = Some((end, now));
        }
    }

    /// Data was sent again: an acknowledgement no longer tells which copy it is of
    /// (Karn's algorithm).
    pub(crate) fn on_retransmitted(&mut self) {
        self.timed = None;
    }

    /// New data was acknowledged, which was sent at `answered` if a timestamp tells that.
    pub(crate) fn on_ack(&mut self, ack: Seq, answered: Option<Instant>, now: Instant) {
        self.backoff = 0;
        let timed = self.timed.take_if(|(end, _)| end.not_after(ack));
        let sent = match (timed, self.timed) {
            (Some((_, sent)), _) => Some(sent),
            // What is timed is still out.
            (None, Some(_)) => None,
            (None, None) => answered,
        };
        let Some(sent) = sent else {
            return;
        };
        let sample = now.saturating_duration_since(sent);
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variance = sample / 2;
            }
            Some(smoothed) => {
                let deviation = smoothed.abs_diff(sample);
                self.variance = self.variance * 3 / 4 + deviation / 4;
                self.smoothed = Some(smoothed * 7 / 8 + sample / 8);
            }
        }
    }

    /// The time-out went off.
    pub(crate) fn on_timeout(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
        self.timed = None;
    }

    /// The round trip as measured, if it was.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// How long to wait for an acknowledgement.
    pub(crate) fn timeout(&self) -> Duration {
        let base = match self.smoothed {
            None => INITIAL,
            Some(smoothed) => (smoothed + self.variance * 4).max(MIN),
        };
        base.saturating_mul(1 << self.backoff.min(16)).min(MAX)
    }

    /// How often the time-out has gone off without an acknowledgement since.
    pub(crate) fn attempts(&self) -> u32 {
        self.backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_out_follows_what_is_measured() {
        let start = Instant::now();
        let mut rtt = RoundTrip::new();
        assert_eq!(rtt.timeout(), INITIAL);
        rtt.on_sent(Seq(10), start);
        rtt.on_ack(Seq(10), None, start + Duration::from_millis(400));
        // 400 ms smoothed, 200 ms deviation, four of which are allowed for.
        assert_eq!(rtt.timeout(), Duration::from_millis(1_200));
        rtt.on_timeout();
        assert_eq!(rtt.timeout(), Duration::from_millis(2_400));
        rtt.on_ack(Seq(20), None, start + Duration::from_secs(9));
        assert_eq!(rtt.timeout(), Duration::from_millis(1_200));
    }

    #[test]
    fn a_segment_sent_twice_is_not_timed() {
        let start = Instant::now();
        let mut rtt = RoundTrip::new();
        rtt.on_sent(Seq(10), start);
        rtt.on_retransmitted();
        rtt.on_ack(Seq(10), None, start + Duration::from_secs(9));
        assert_eq!(rtt.timeout(), INITIAL);
        // But by its timestamp.
        let answered = Some(start + Duration::from_millis(8_600));
        rtt.on_ack(Seq(20), answered, start + Duration::from_secs(9));
        assert_eq!(rtt.timeout(), Duration::from_millis(1_200));
    }
}
