//! What was lost, and sending it again (RFC 8985; RFC 6582 without selective
//! acknowledgements).

use std::time::{Duration, Instant};

use vpnm_wire::{Seq, TcpOptions};

use super::rack::duplicate;
use super::tail::Tail;
use super::undo::Undo;
use super::{Fin, Sender, Span};

/// Acknowledgements of the same byte, or segments behind a hole, that mean a loss (RFC 5681
/// section 3.2).
const DUPLICATES: usize = 3;

/// Something was lost and is being sent again.
#[derive(Debug)]
pub(super) struct Recovery {
    /// All before this was out when the loss was noticed.
    pub(super) until: Seq,
    /// Whether all of it was taken for lost.
    pub(super) all: bool,
}

impl Sender {
    /// Takes over what the peer reports of bytes beyond its acknowledgement; whether any of
    /// it was new.
    pub(super) fn take_reports(&mut self, options: &TcpOptions, ack: Seq, now: Instant) -> bool {
        if options.sacks == 0 {
            return false;
        }
        let rack = self.rack.get_or_insert_default();
        let mut any = false;
        let una = self.una.max(ack);
        for &(left, right) in options.sack.iter().take(options.sacks) {
            let left = left.max(una);
            let within = left.before(self.next) && right.not_after(self.next);
            if within && left.before(right) {
                any |= self
                    .flights
                    .arrive(left, right, |stretch| rack.on_delivered(stretch, now));
            }
        }
        let probed = matches!(self.tail, Tail::Probed { resent: true, .. });
        if self.resent > 0
            && !probed
            && let Some((left, right)) = duplicate(options, ack)
        {
            rack.on_duplicate(self.next);
            self.take_back_by_report(left, right);
        }
        any
    }

    /// When it is to be judged again what was lost, because packets are late.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        self.rack.as_ref()?.late_at()
    }

    /// Decides whether what the peer reports, or that time went by, means a loss.
    pub(crate) fn judge_loss(&mut self, now: Instant) {
        if !self.selective {
            if self.recovery.is_none() && self.duplicates >= DUPLICATES {
                self.slow_down();
                self.lose_first();
            }
            return;
        }
        let Some(rack) = &mut self.rack else {
            return;
        };
        let certain = self.recovery.is_some() || self.flights.arrived() >= DUPLICATES * self.mss;
        let smoothed = self.rtt.smoothed().unwrap_or(Duration::MAX);
        let ends = (self.una, self.next);
        let lost = rack.judge(&mut self.flights, ends, certain, smoothed, now);
        if lost && self.recovery.is_none() {
            self.slow_down();
        }
    }

    /// A loss was noticed that the path is too full for.
    fn slow_down(&mut self) {
        self.undo = Some(Box::new(Undo::new(self.congestion, self.next)));
        self.congestion.on_loss(self.next - self.una, self.mss);
        self.start_recovery(false);
    }

    /// The peer had twice what is between `left` and `right`.
    fn take_back_by_report(&mut self, left: Seq, right: Seq) {
        let undo = self.undo.as_mut();
        if undo.is_some_and(|undo| undo.on_duplicate(left, right)) {
            self.take_back();
        }
    }

    /// New data was acknowledged, in answer to what was sent then.
    pub(super) fn take_back_by_time(&mut self, answered: Option<Instant>) {
        let early = self.recovery.as_ref().is_some_and(|recovery| recovery.all);
        if let (Some(undo), Some(answered)) = (&mut self.undo, answered)
            && undo.on_progress(self.una, answered, early)
        {
            self.take_back();
        }
    }

    /// Nothing was lost: the window is what it was, and nothing is sent again.
    fn take_back(&mut self) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        self.recovery = None;
        self.flights.find_lost();
        let pipe = self.pipe();
        self.congestion.restore(undo.before(), pipe, self.mss);
    }

    /// Without reports, what is lost is the segment that is asked for.
    pub(super) fn lose_first(&mut self) {
        let end = self.una.plus(self.mss);
        let end = if self.next.before(end) {
            self.next
        } else {
            end
        };
        self.flights.lose(self.una, end, |_| true);
    }

    fn start_recovery(&mut self, all: bool) {
        if !self.is_in_flight() {
            return;
        }
        self.recovery = Some(Recovery {
            until: self.next,
            all,
        });
        self.tail = Tail::Quiet;
        self.rtt.on_retransmitted();
        if all {
            self.flights.lose(self.una, self.next, |_| true);
            if let Some(rack) = &mut self.rack {
                rack.settle();
            }
        }
    }

    /// All that is out is to be sent again.
    pub(super) fn start_over(&mut self) {
        self.start_recovery(true);
    }

    /// Nothing was acknowledged in time.
    pub(crate) fn on_timeout(&mut self) {
        let in_flight = self.next - self.una;
        if self.rtt.attempts() == 0 {
            if self.recovery.is_none() {
                self.undo = Some(Box::new(Undo::new(self.congestion, self.next)));
            }
            self.congestion.on_timeout(in_flight, self.mss);
        }
        if self.rtt.attempts() > 0 || self.flights.is_reneged() {
            // The peer may have dropped what it reported (RFC 2018 section 8).
            self.flights.forget_arrived();
        }
        self.duplicates = 0;
        self.start_recovery(true);
        self.rtt.on_timeout();
    }

    /// Bytes believed to be on their way.
    pub(super) fn pipe(&self) -> usize {
        let arrived = if self.selective {
            self.flights.arrived()
        } else {
            self.duplicates * self.mss
        };
        (self.next - self.una).saturating_sub(arrived + self.flights.lost())
    }

    pub(super) fn next_resend(&mut self, max: usize, now: Instant) -> Option<Span> {
        let (from, to) = self.flights.first_lost()?;
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
        let second = self.flights.on_resent(from, end, now);
        self.rtt.on_retransmitted();
        self.resent += u64::try_from(len).unwrap_or(0);
        if let Some(undo) = &mut self.undo {
            undo.on_resent((from, end), second, now);
        }
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
    use vpnm_wire::BufferPool;

    use super::super::tests::sack;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A sender with ten segments of a thousand bytes out.
    fn sender() -> (Sender, Instant) {
        let now = Instant::now() + 100 * MS;
        let mut sender = Sender::new(Seq(99), 1_000);
        sender.agree(0, true);
        sender.on_syn_sent(now);
        sender.on_syn_acked(Seq(1), Seq(100), 60_000, now);
        sender.push_copy(&[1; 10_000], &BufferPool::new());
        while sender.next_span(1_000, now).is_some() {}
        (sender, now)
    }

    #[test]
    fn an_answer_to_what_was_sent_before_a_time_out_undoes_it() {
        for (answered, undone) in [(0, true), (300, false)] {
            let (mut sender, sent) = sender();
            let before = sender.congestion.window();
            sender.on_timeout();
            let now = sent + 300 * MS;
            assert!(sender.next_span(1_000, now).is_some());
            let answered = Some(sent + answered * MS);
            let ack = (Seq(1), Seq(1_100), 60_000);
            let none = TcpOptions::default();
            sender.on_ack(ack, &none, true, (answered, now + MS));
            assert_eq!(sender.congestion.window() == before, undone);
            let again = sender.next_span(1_000, now + MS);
            assert_eq!(again.is_none(), undone, "nothing was lost");
        }
    }

    #[test]
    fn an_answer_that_was_lost_makes_the_path_no_longer() {
        for (report, longer) in [(sack(100, 1_100), false), (TcpOptions::default(), true)] {
            let (mut sender, sent) = sender();
            let before = sender.rtt.timeout();
            sender.on_timeout();
            let now = sent + 30_000 * MS;
            assert!(sender.next_span(1_000, now).is_some());
            let ack = (Seq(1), Seq(1_100), 60_000);
            sender.on_ack(ack, &report, true, (Some(sent), now + MS));
            assert_eq!(sender.rtt.timeout() > before, longer);
        }
    }

    #[test]
    fn a_report_that_all_that_was_sent_again_came_twice_undoes_the_slowing() {
        let (mut sender, now) = sender();
        let before = sender.congestion.window();
        let mut ack = |ack, options: &TcpOptions| {
            sender.on_ack((Seq(1), Seq(ack), 60_000), options, true, (None, now));
            let again = sender.next_span(1_000, now).map(|span| span.seq.0);
            (again, sender.congestion.window() == before)
        };
        assert_eq!(ack(100, &sack(1_100, 5_100)), (Some(100), false));
        assert_eq!(ack(10_100, &TcpOptions::default()), (None, false));
        assert_eq!(ack(10_100, &sack(100, 1_100)), (None, true));
    }

    #[test]
    fn only_reports_of_what_was_sent_again_since_the_slowing_undo_it() {
        for (left, right, undone, what) in [
            (9_100, 10_100, false, "the copy that probed the end"),
            (2_100, 3_100, false, "a packet that the path doubled"),
            (100, 1_100, true, "what was sent again"),
        ] {
            let (mut sender, now) = sender();
            let before = sender.congestion.window();
            sender.on_tail_wait();
            assert_eq!(sender.next_span(1_000, now).unwrap().seq, Seq(9_100));
            let mut ack = |ack, options: &TcpOptions| {
                sender.on_ack((Seq(1), Seq(ack), 60_000), options, true, (None, now));
                let again = sender.next_span(1_000, now).map(|span| span.seq.0);
                (again, sender.congestion.window() == before)
            };
            assert_eq!(ack(100, &sack(1_100, 9_100)), (Some(100), false));
            assert_eq!(ack(10_100, &sack(left, right)), (None, undone), "{what}");
        }
    }

    #[test]
    fn a_report_of_an_earlier_copy_does_not_undo_a_time_out_of_the_end() {
        let (mut sender, now) = sender();
        sender.finish();
        assert!(sender.next_span(1_000, now).unwrap().fin);
        let ack = |sender: &mut Sender, ack, options: &TcpOptions| {
            sender.on_ack((Seq(1), Seq(ack), 60_000), options, true, (None, now));
        };
        ack(&mut sender, 100, &sack(1_100, 5_100));
        assert_eq!(sender.next_span(1_000, now).unwrap().seq, Seq(100));
        ack(&mut sender, 10_100, &TcpOptions::default());
        sender.on_timeout();
        let slow = sender.congestion.window();
        assert!(sender.next_span(1_000, now).unwrap().fin);
        ack(&mut sender, 10_100, &sack(100, 1_100));
        assert_eq!(sender.congestion.window(), slow);
    }
}
