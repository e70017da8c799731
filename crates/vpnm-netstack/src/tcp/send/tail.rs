//! Probes of the end of what is out, whose loss nothing else would notice before the
//! time-out (RFC 8985 section 7).

use std::time::{Duration, Instant};

use vpnm_wire::{Seq, TcpOptions};

use super::rack::duplicate;
use super::{Fin, Sender, Span};

/// What became of the probe of the last flight's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing was probed.
    Quiet,
    /// A probe is to be sent.
    Due,
    /// It was sent, and all ended at `end`; `resent` if it carried nothing new.
    Probed { end: Seq, resent: bool },
}

/// How long peers delay the acknowledgement of a single segment: most of them 40 or 50 ms.
const DELAYED: Duration = Duration::from_millis(100);
/// Added to two round trips, for a machine that has other things to do: as Linux.
const SLACK: Duration = Duration::from_millis(10);

impl Sender {
    /// How long after an acknowledgement the end of what is out is to be probed; `None`
    /// where the time-out comes first.
    pub(crate) fn tail_wait(&self) -> Option<Duration> {
        let settled = self.recovery.is_none() && self.rtt.attempts() == 0;
        if !self.is_in_flight() || !self.selective || !settled || self.tail != Tail::Quiet {
            return None;
        }
        let single = self.next - self.una <= self.mss;
        let wait = self.rtt.smoothed()? * 2 + if single { DELAYED } else { SLACK };
        (wait < self.rtt.timeout()).then_some(wait)
    }

    /// That long nothing was acknowledged.
    pub(crate) fn on_tail_wait(&mut self) {
        self.tail = Tail::Due;
    }

    /// The probe: new data if there is any, whatever the congestion window says, or the
    /// last segment again.
    pub(super) fn next_tail(&mut self, max: usize, now: Instant) -> Option<Span> {
        if self.tail != Tail::Due {
            return None;
        }
        let open = self.una.plus(self.window) - self.next;
        let unsent = self.unsent().min(self.mss);
        let reach = self.queue.reach(self.next - self.una);
        let resent = unsent == 0 || unsent > open.min(max).min(reach);
        let span = if resent {
            self.last_segment(max, now)
        } else {
            self.send_new(unsent, now)
        };
        self.tail = Tail::Probed {
            end: self.next,
            resent,
        };
        Some(span)
    }

    fn last_segment(&mut self, max: usize, now: Instant) -> Span {
        let finished = self.fin == Fin::Sent;
        let end = if finished { self.data_end() } else { self.next };
        let out = end - self.una;
        let len = out.min(self.mss).min(max);
        let seq = self.una.plus(out - len);
        let len = len.min(self.queue.reach(seq - self.una));
        // Two pieces may not hold all of it, and a FIN before the end would cut the stream.
        let fin = finished && seq.plus(len) == end;
        let end = seq.plus(len + usize::from(fin));
        _ = self.flights.on_resent(seq, end, now);
        self.rtt.on_retransmitted();
        self.resent += u64::try_from(len).unwrap_or(0);
        Span {
            seq,
            len,
            fin,
            push: true,
        }
    }

    /// The probe was answered. Unless the peer says that it had everything already, the
    /// probe repaired a loss, which means that the path is full.
    pub(super) fn on_tail_ack(&mut self, ack: Seq, options: &TcpOptions, in_flight: usize) {
        let Tail::Probed { end, resent } = self.tail else {
            return;
        };
        if ack.before(end) {
            return;
        }
        self.tail = Tail::Quiet;
        let repaired = duplicate(options, ack).is_none();
        if resent && repaired && self.recovery.is_none() {
            self.congestion.on_loss(in_flight, self.mss);
        }
    }
}

#[cfg(test)]
mod tests {
    use vpnm_wire::{BufferPool, Chunk};

    use super::super::tests::sack;
    use super::*;

    /// A sender with three segments of a thousand bytes out, the last acknowledged none.
    fn sender() -> (Sender, Instant) {
        let now = Instant::now();
        let mut sender = Sender::new(Seq(99), 1_000);
        sender.agree(0, true);
        sender.on_syn_sent(now);
        sender.on_syn_acked(Seq(1), Seq(100), 60_000, now);
        sender.push_copy(&[1; 3_000], &BufferPool::new());
        while sender.next_span(1_000, now).is_some() {}
        (sender, now)
    }

    #[test]
    fn the_last_segment_is_probed_once() {
        let (mut sender, now) = sender();
        assert_eq!(sender.tail_wait(), Some(SLACK));
        sender.on_tail_wait();
        let probe = sender.next_span(1_000, now).unwrap();
        assert_eq!((probe.seq, probe.len), (Seq(2_100), 1_000));
        assert_eq!(sender.next_span(1_000, now), None);
        assert_eq!(sender.tail_wait(), None);
    }

    #[test]
    fn a_probe_that_falls_short_of_the_end_has_no_fin() {
        for (pieces, whole) in [(2, true), (3, false)] {
            let now = Instant::now();
            let pool = BufferPool::new();
            let mut sender = Sender::new(Seq(99), 1_000);
            sender.agree(0, true);
            sender.on_syn_sent(now);
            sender.on_syn_acked(Seq(1), Seq(100), 60_000, now);
            for _ in 0..pieces {
                // Without room behind it.
                let end = vpnm_wire::SMALL;
                sender.push(Chunk::new(pool.fitting(end), end - 300, end));
            }
            sender.finish();
            while sender.next_span(1_000, now).is_some() {}
            sender.on_tail_wait();
            let probe = sender.next_span(1_000, now).unwrap();
            assert_eq!((probe.seq, probe.len, probe.fin), (Seq(100), 600, whole));
        }
    }

    #[test]
    fn a_probe_carries_new_data_if_there_is_any() {
        let (mut sender, now) = sender();
        sender.push_copy(&[1; 10], &BufferPool::new());
        sender.on_tail_wait();
        let probe = sender.next_span(1_000, now).unwrap();
        assert_eq!((probe.seq, probe.len), (Seq(3_100), 10));
    }

    #[test]
    fn only_a_probe_that_repaired_something_slows_the_sender() {
        for (report, slower) in [(TcpOptions::default(), true), (sack(2_100, 3_100), false)] {
            let (mut sender, now) = sender();
            let before = sender.congestion.window();
            sender.on_tail_wait();
            assert!(sender.next_span(1_000, now).is_some());
            sender.on_ack((Seq(1), Seq(3_100), 60_000), &report, true, (None, now));
            assert_eq!(sender.congestion.window() < before, slower);
            assert!(!sender.is_in_flight() && sender.tail == Tail::Quiet);
        }
    }

    #[test]
    fn a_hole_that_too_few_packets_follow_is_filled() {
        let (mut sender, now) = sender();
        let report = sack(2_100, 3_100);
        let later = now + Duration::from_millis(20);
        sender.on_ack((Seq(1), Seq(1_100), 60_000), &report, true, (None, later));
        assert_eq!(sender.next_span(1_000, later), None);
        let late = sender.late_at().unwrap();
        assert_eq!(late, later + sender.rtt.smoothed().unwrap());
        sender.judge_loss(late);
        let again = sender.next_span(1_000, now).unwrap();
        assert_eq!((again.seq, again.len), (Seq(1_100), 1_000));
    }
}
