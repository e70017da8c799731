//! What was lost, and sending it again (RFC 6675, RFC 6582, RFC 8985 section 7).

use std::time::{Duration, Instant};

use vpnm_wire::{Seq, TcpOptions};

use super::{Fin, Sender, Span};

/// Acknowledgements of the same byte that mean a loss (RFC 5681 section 3.2).
const DUPLICATES: usize = 3;

/// Something was lost and is being sent again.
#[derive(Debug)]
pub(super) struct Recovery {
    /// All before this was out when the loss was noticed.
    pub(super) until: Seq,
    /// All before this was sent again, or was not lost.
    pub(super) next: Seq,
    /// What was out when `next` last passed the first hole: when more than this is
    /// acknowledged selectively, what was sent again is lost again.
    mark: Seq,
    /// Whether all of it is lost, not just what selective acknowledgements say.
    pub(super) all: bool,
}

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
    /// How long after an acknowledgement the end of what is out is to be probed, or a hole
    /// to be filled that too few packets followed: nothing else would notice their loss
    /// before the time-out. `None` where that comes first.
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
        if self.sacked.total() == 0 {
            self.tail = Tail::Due;
        } else {
            self.congestion.on_loss(self.next - self.una, self.mss);
            self.start_recovery(false);
        }
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
            self.last_segment(max)
        } else {
            self.send_new(unsent, now)
        };
        self.tail = Tail::Probed {
            end: self.next,
            resent,
        };
        Some(span)
    }

    fn last_segment(&mut self, max: usize) -> Span {
        let finished = self.fin == Fin::Sent;
        let end = if finished { self.data_end() } else { self.next };
        let out = end - self.una;
        let len = out.min(self.mss).min(max);
        let seq = self.una.plus(out - len);
        let len = len.min(self.queue.reach(seq - self.una));
        // Two pieces may not hold all of it, and a FIN before the end would cut the stream.
        let fin = finished && seq.plus(len) == end;
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
        // RFC 2883: such a range is reported first, and lies before the acknowledgement.
        let [(_, right), ..] = options.sack;
        let duplicate = options.sacks > 0 && right.not_after(ack);
        if resent && !duplicate && self.recovery.is_none() {
            self.congestion.on_loss(in_flight, self.mss);
        }
    }

    /// Decides whether what the peer reports means a loss.
    pub(super) fn judge_loss(&mut self) {
        let reach = self.sacked.highest().map_or(0, |end| end - self.una);
        match &mut self.recovery {
            None => {
                if self.duplicates >= DUPLICATES || reach > DUPLICATES * self.mss {
                    self.congestion.on_loss(self.next - self.una, self.mss);
                    self.start_recovery(false);
                }
            }
            Some(recovery) => {
                let again = recovery.mark.plus(DUPLICATES * self.mss);
                if self
                    .sacked
                    .highest()
                    .is_some_and(|highest| again.before(highest))
                    && self.una.before(recovery.next)
                {
                    recovery.next = self.una;
                    recovery.mark = self.next;
                }
            }
        }
    }

    pub(super) fn start_recovery(&mut self, all: bool) {
        if !self.is_in_flight() {
            return;
        }
        self.recovery = Some(Recovery {
            until: self.next,
            next: self.una,
            mark: self.next,
            all,
        });
        self.tail = Tail::Quiet;
        self.rtt.on_retransmitted();
    }

    /// Nothing was acknowledged in time.
    pub(crate) fn on_timeout(&mut self) {
        let in_flight = self.next - self.una;
        if self.rtt.attempts() > 0 {
            // The peer may have dropped what it reported (RFC 2018 section 8).
            self.sacked.clear();
        } else {
            self.congestion.on_timeout(in_flight, self.mss);
        }
        self.duplicates = 0;
        self.start_recovery(true);
        self.rtt.on_timeout();
    }

    /// Where what counts as lost ends.
    fn lost_end(&self, recovery: &Recovery) -> Seq {
        if recovery.all {
            recovery.until
        } else if self.selective {
            self.sacked.highest().unwrap_or(self.una)
        } else {
            let first = self.una.plus(self.mss);
            if recovery.until.before(first) {
                recovery.until
            } else {
                first
            }
        }
    }

    /// The next stretch to be sent again.
    fn next_hole(&self) -> Option<(Seq, Seq)> {
        let recovery = self.recovery.as_ref()?;
        let end = self.lost_end(recovery);
        self.sacked.hole(recovery.next.max(self.una), end)
    }

    /// Bytes believed to be on their way.
    pub(super) fn pipe(&self) -> usize {
        let lost = match &self.recovery {
            None => 0,
            Some(recovery) => {
                let from = recovery.next.max(self.una);
                self.sacked.missing(from, self.lost_end(recovery))
            }
        };
        let arrived = if self.selective {
            self.sacked.total()
        } else {
            self.duplicates * self.mss
        };
        (self.next - self.una).saturating_sub(arrived + lost)
    }

    pub(super) fn next_resend(&mut self, max: usize) -> Option<Span> {
        let (from, to) = self.next_hole()?;
        let budget = self.congestion.window().saturating_sub(self.pipe());
        let first = from == self.una;
        if budget < self.mss && !first {
            return None;
        }
        let data_end = self.data_end();
        let hole = if data_end.before(to) { data_end } else { to } - from;
        let max = max.min(self.queue.reach(from - self.una));
        let len = hole.min(max).min(budget.max(self.mss));
        let len = if len > self.mss {
            len - len % self.mss
        } else {
            len
        };
        let end = from.plus(len);
        let fin = self.fin == Fin::Sent && end == data_end && data_end.before(to);
        let end = if fin { end.plus(1) } else { end };
        let next = self.next;
        if let Some(recovery) = &mut self.recovery {
            recovery.next = end;
            if first {
                recovery.mark = next;
            }
        }
        self.rtt.on_retransmitted();
        self.resent += u64::try_from(len).unwrap_or(0);
        Some(Span {
            seq: from,
            len,
            fin,
            push: true,
        })
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
            sender.on_ack((Seq(1), Seq(3_100), 60_000), &report, true, now);
            assert_eq!(sender.congestion.window() < before, slower);
            assert!(!sender.is_in_flight() && sender.tail == Tail::Quiet);
        }
    }

    #[test]
    fn a_hole_that_too_few_packets_follow_is_filled() {
        let (mut sender, now) = sender();
        let report = sack(2_100, 3_100);
        sender.on_ack((Seq(1), Seq(1_100), 60_000), &report, true, now);
        assert_eq!(sender.next_span(1_000, now), None);
        sender.on_tail_wait();
        let again = sender.next_span(1_000, now).unwrap();
        assert_eq!((again.seq, again.len), (Seq(1_100), 1_000));
    }
}
