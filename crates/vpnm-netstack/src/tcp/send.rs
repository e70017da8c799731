//! The sending half of a connection: what is queued, out, lost and to be sent next.

mod loss;
mod queue;
mod rack;
mod tail;
mod undo;

use std::time::Instant;

use vpnm_wire::{BufferPool, Chunk, Seq, TcpOptions};

use self::loss::Recovery;
use self::queue::Queue;
use self::rack::{Rack, duplicate};
use self::tail::Tail;
use self::undo::Undo;
use super::congestion::Congestion;
use super::flights::Flights;
use super::rtt::RoundTrip;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fin {
    /// More may be sent.
    Open,
    /// It follows the last byte.
    Queued,
    Sent,
    Acknowledged,
}

/// A stretch of the stream that is to be sent in one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) seq: Seq,
    pub(crate) len: usize,
    pub(crate) fin: bool,
    /// Whether nothing is left behind it.
    pub(crate) push: bool,
}

#[derive(Debug)]
pub(crate) struct Sender {
    /// The first byte not acknowledged.
    una: Seq,
    /// The first byte never sent.
    next: Seq,
    /// Bytes the peer takes from `una` on.
    window: usize,
    /// The largest `window` ever, for its silly-window avoidance.
    max_window: usize,
    /// Places of the sequence behind our SYN that were ever acknowledged.
    acked: usize,
    shift: u8,
    /// Sequence and acknowledgement number of the segment that set `window`.
    updated: (Seq, Seq),
    mss: usize,
    queue: Queue,
    fin: Fin,
    congestion: Congestion,
    rtt: RoundTrip,
    flights: Flights,
    /// Only paths that lose or reorder need it.
    rack: Option<Box<Rack>>,
    /// Whether the peer acknowledges selectively.
    selective: bool,
    duplicates: usize,
    recovery: Option<Recovery>,
    undo: Option<Box<Undo>>,
    tail: Tail,
    last_sent: Option<Instant>,
    /// Payload that retransmissions carried.
    resent: u64,
}

/// What an acknowledgement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// New bytes were acknowledged.
    Progress,
    /// Nothing new.
    Nothing,
    /// It acknowledges what was never sent, or is far too old (RFC 5961 section 5.2).
    Invalid,
}

impl Sender {
    /// For our SYN of this sequence number.
    pub(crate) fn new(syn: Seq, mss: usize) -> Self {
        Self {
            una: syn,
            next: syn,
            window: 0,
            max_window: 0,
            acked: 0,
            shift: 0,
            updated: (Seq::default(), Seq::default()),
            mss,
            queue: Queue::default(),
            fin: Fin::Open,
            congestion: Congestion::new(mss),
            rtt: RoundTrip::new(),
            flights: Flights::default(),
            rack: None,
            selective: false,
            duplicates: 0,
            recovery: None,
            undo: None,
            tail: Tail::Quiet,
            last_sent: None,
            resent: 0,
        }
    }

    /// Takes over what the peer's SYN agreed to.
    pub(crate) fn agree(&mut self, shift: u8, selective: bool) {
        self.shift = shift;
        self.selective = selective;
    }

    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    pub(crate) fn una(&self) -> Seq {
        self.una
    }

    pub(crate) fn mss(&self) -> usize {
        self.mss
    }

    pub(crate) fn rtt(&self) -> &RoundTrip {
        &self.rtt
    }

    /// Payload bytes that were sent more than once.
    pub(crate) fn resent(&self) -> u64 {
        self.resent
    }

    /// Every segment has so many bytes of options.
    pub(crate) fn shorten_mss(&mut self, options: usize) {
        self.mss -= options;
    }

    /// A router on the way takes no longer packets.
    pub(crate) fn limit_mss(&mut self, mss: usize) {
        if mss < self.mss {
            self.mss = mss;
            self.start_over();
        }
    }

    /// Bytes queued, sent or not.
    pub(crate) fn queued(&self) -> usize {
        self.queue.bytes
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn push_copy(&mut self, bytes: &[u8], pool: &BufferPool) {
        self.queue.push_copy(bytes, pool);
    }

    pub(crate) fn push(&mut self, bytes: Chunk) {
        self.queue.push(bytes);
    }

    /// Nothing is queued any more: the FIN follows.
    pub(crate) fn finish(&mut self) {
        if self.fin == Fin::Open {
            self.fin = Fin::Queued;
        }
    }

    /// Whether no more can be queued.
    pub(crate) fn is_finishing(&self) -> bool {
        self.fin != Fin::Open
    }

    /// Whether the FIN is out.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.fin, Fin::Sent | Fin::Acknowledged)
    }

    /// Whether the FIN, and so everything, was acknowledged.
    pub(crate) fn is_finished(&self) -> bool {
        self.fin == Fin::Acknowledged
    }

    /// Whether anything is out and not acknowledged.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.una != self.next
    }

    /// Whether something was lost and is being sent again.
    pub(crate) fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Whether data waits for the peer's closed window.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.is_in_flight() && self.window == 0 && (self.unsent() > 0 || self.fin == Fin::Queued)
    }

    /// Where the data queued so far ends.
    fn data_end(&self) -> Seq {
        self.una.plus(self.queue.bytes)
    }

    fn unsent(&self) -> usize {
        match self.fin {
            Fin::Open | Fin::Queued => self.data_end() - self.next,
            Fin::Sent | Fin::Acknowledged => 0,
        }
    }

    /// Our SYN was sent: it takes one place of the sequence.
    pub(crate) fn on_syn_sent(&mut self, now: Instant) {
        self.assume_syn_sent();
        self.rtt.on_sent(self.next, now);
    }

    /// Our SYN was sent; when, nobody remembers.
    pub(crate) fn assume_syn_sent(&mut self) {
        self.next = self.una.plus(1);
    }

    /// Our SYN had another number than was believed; when it was sent, nobody remembers.
    pub(crate) fn renumber(&mut self, syn: Seq) {
        self.una = syn;
        self.assume_syn_sent();
        self.rtt.on_retransmitted();
    }

    /// Our SYN was acknowledged, with the segment whose fields are given.
    pub(crate) fn on_syn_acked(&mut self, seq: Seq, ack: Seq, window: u16, now: Instant) {
        self.una = self.next;
        self.updated = (seq, ack);
        self.window = usize::from(window) << self.shift;
        self.max_window = self.window;
        self.rtt.on_ack(ack, None, now);
    }

    /// An acknowledgement arrived; `plain` if its segment carried nothing else. `answered` is
    /// when what it answers was sent, if its timestamp tells.
    pub(crate) fn on_ack(
        &mut self,
        (seq, ack, window): (Seq, Seq, u16),
        options: &TcpOptions,
        plain: bool,
        (answered, now): (Option<Instant>, Instant),
    ) -> Acked {
        // What is before our first byte nobody can have acknowledged, however large a window
        // was: a guess would be right more often.
        let reach = self.max_window.min(self.acked);
        if self.next.before(ack) || ack.plus(reach).before(self.una) {
            return Acked::Invalid;
        }
        let in_flight = self.next - self.una;
        let same_window = usize::from(window) << self.shift == self.window;
        self.update_window(seq, ack, window);
        let reported = self.selective && self.take_reports(options, ack, now);
        if self.una.before(ack) {
            // What comes twice is no longer waited for: its first answer was lost, and how
            // long ago it was sent tells nothing of the path.
            let timed = answered.filter(|_| duplicate(options, ack).is_none());
            self.rtt.on_ack(ack, timed, now);
            self.on_progress(ack, in_flight, now);
            self.take_back_by_time(answered);
            self.on_tail_ack(ack, options, in_flight);
            self.judge_loss(now);
            return Acked::Progress;
        }
        let duplicate = ack == self.una && in_flight > 0 && plain && same_window;
        if duplicate {
            self.duplicates += 1;
        }
        if duplicate || reported {
            self.judge_loss(now);
        }
        Acked::Nothing
    }

    fn update_window(&mut self, seq: Seq, ack: Seq, window: u16) {
        let (last_seq, last_ack) = self.updated;
        if ack.before(self.una) {
            return;
        }
        if last_seq.before(seq) || last_seq == seq && last_ack.not_after(ack) {
            self.updated = (seq, ack);
            self.window = usize::from(window) << self.shift;
            self.max_window = self.max_window.max(self.window);
        }
    }

    fn on_progress(&mut self, ack: Seq, in_flight: usize, now: Instant) {
        let count = ack - self.una;
        let data = count.min(self.queue.bytes);
        self.queue.drop_front(data);
        if count > data && self.fin == Fin::Sent {
            self.fin = Fin::Acknowledged;
        }
        self.una = ack;
        self.acked = self.acked.saturating_add(count);
        let mut rack = self.rack.as_mut();
        self.flights.acknowledge(ack, |stretch| {
            if let Some(rack) = &mut rack {
                rack.on_delivered(stretch, now);
            }
        });
        if let Some(rack) = rack {
            rack.on_progress(ack);
        }
        // Another byte than the duplicates were about.
        self.duplicates = 0;
        match &mut self.recovery {
            Some(recovery) if ack.before(recovery.until) => {
                if recovery.all {
                    self.congestion.on_ack(data, in_flight, self.mss);
                }
                if !self.selective && !recovery.all {
                    // The next hole begins where this acknowledgement ends (RFC 6582).
                    self.lose_first();
                }
            }
            Some(_) => {
                self.recovery = None;
                if let Some(rack) = &mut self.rack {
                    rack.on_recovered();
                }
            }
            None => self.congestion.on_ack(data, in_flight, self.mss),
        }
    }

    /// A probe of a closed window was sent.
    pub(crate) fn on_probe(&mut self) {
        self.rtt.on_timeout();
    }

    /// What to send next in one packet of at most `max` bytes of payload.
    pub(crate) fn next_span(&mut self, max: usize, now: Instant) -> Option<Span> {
        if let Some(last) = self.last_sent
            && !self.is_in_flight()
            && now.saturating_duration_since(last) > self.rtt.timeout()
        {
            self.congestion.on_idle(self.mss);
            self.last_sent = Some(now);
        }
        self.next_tail(max, now)
            .or_else(|| self.next_resend(max, now))
            .or_else(|| self.next_new(max, now))
    }

    fn next_new(&mut self, max: usize, now: Instant) -> Option<Span> {
        let unsent = self.unsent();
        if unsent == 0 && self.fin != Fin::Queued {
            return None;
        }
        let pipe = self.pipe();
        let edge = self.una.plus(self.window);
        let open = (edge - self.next).min(self.congestion.window().saturating_sub(pipe));
        // Silly windows are avoided on this side too (RFC 9293 section 3.8.6.2.1).
        if open < unsent.min(self.mss) && (open == 0 || pipe > 0 && open < self.max_window / 2) {
            return None;
        }
        let max = max.min(self.queue.reach(self.next - self.una));
        let mut len = unsent.min(open).min(max);
        if len < unsent && len >= self.mss {
            len -= len % self.mss;
        }
        if len == 0 && unsent > 0 {
            return None;
        }
        Some(self.send_new(len, now))
    }

    /// Sends the next `len` bytes for the first time, and the FIN if that follows.
    fn send_new(&mut self, len: usize, now: Instant) -> Span {
        let push = len == self.unsent();
        let fin = push && self.fin == Fin::Queued;
        let span = Span {
            seq: self.next,
            len,
            fin,
            push,
        };
        self.next = self.next.plus(len + usize::from(fin));
        if fin {
            self.fin = Fin::Sent;
        }
        self.flights.on_sent(span.seq, self.next, now);
        self.rtt.on_sent(self.next, now);
        self.last_sent = Some(now);
        span
    }

    /// Whether the FIN is still to be sent.
    pub(crate) fn is_fin_due(&self) -> bool {
        self.fin == Fin::Queued
    }

    /// Whether there may be more to send at once.
    pub(crate) fn has_more(&self) -> bool {
        self.unsent() > 0 || self.flights.lost() > 0 || self.tail == Tail::Due
    }

    /// The bytes of a span, in two pieces.
    pub(crate) fn body(&self, span: &Span) -> [&[u8]; 2] {
        self.queue.slices(span.seq - self.una, span.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: usize = 1_000;

    fn sender(window: u16) -> (Sender, BufferPool, Instant) {
        let now = Instant::now();
        let mut sender = Sender::new(Seq(99), MSS);
        sender.agree(0, true);
        sender.on_syn_sent(now);
        sender.on_syn_acked(Seq(1), Seq(100), window, now);
        (sender, BufferPool::new(), now)
    }

    fn spans(sender: &mut Sender, now: Instant) -> Vec<(u32, usize, bool)> {
        std::iter::from_fn(|| sender.next_span(MSS, now))
            .map(|span| (span.seq.0, span.len, span.fin))
            .collect()
    }

    pub(super) fn sack(left: u32, right: u32) -> TcpOptions {
        let mut options = TcpOptions {
            sacks: 1,
            ..TcpOptions::default()
        };
        options.sack[0] = (Seq(left), Seq(right));
        options
    }

    #[test]
    fn the_peers_window_bounds_what_is_sent() {
        let (mut sender, pool, now) = sender(2_500);
        sender.push_copy(&[1; 4_000], &pool);
        sender.finish();
        assert_eq!(
            spans(&mut sender, now),
            [(100, 1_000, false), (1_100, 1_000, false)]
        );
        let ack = (Seq(1), Seq(2_100), 4_000);
        let none = TcpOptions::default();
        assert_eq!(
            sender.on_ack(ack, &none, true, (None, now)),
            Acked::Progress
        );
        assert_eq!(
            spans(&mut sender, now),
            [(2_100, 1_000, false), (3_100, 1_000, true)]
        );
        let ack = (Seq(1), Seq(4_101), 4_000);
        assert_eq!(
            sender.on_ack(ack, &none, true, (None, now)),
            Acked::Progress
        );
        assert!(sender.is_finished());
        assert_eq!(sender.queued(), 0);
        assert_eq!(pool.bytes_out(), 0);
    }

    #[test]
    fn only_the_hole_is_sent_again() {
        let (mut sender, pool, now) = sender(60_000);
        sender.push_copy(&[1; 10_000], &pool);
        assert_eq!(spans(&mut sender, now).len(), 10);
        // The third thousand is missing.
        let ack = (Seq(1), Seq(2_100), 60_000);
        let none = TcpOptions::default();
        sender.on_ack(ack, &none, true, (None, now));
        sender.on_ack(ack, &sack(3_100, 7_100), true, (None, now));
        assert_eq!(spans(&mut sender, now), [(2_100, 1_000, false)]);
        assert_eq!(spans(&mut sender, now), []);
        sender.on_ack((Seq(1), Seq(10_100), 60_000), &none, true, (None, now));
        assert!(!sender.is_in_flight() && sender.recovery.is_none());
    }

    #[test]
    fn three_duplicates_do_without_selective_acknowledgements() {
        let (mut sender, pool, now) = sender(60_000);
        sender.agree(0, false);
        sender.push_copy(&[1; 10_000], &pool);
        spans(&mut sender, now);
        let none = TcpOptions::default();
        for _ in 0..3 {
            assert_eq!(spans(&mut sender, now), []);
            sender.on_ack((Seq(1), Seq(100), 60_000), &none, true, (None, now));
        }
        assert_eq!(spans(&mut sender, now), [(100, 1_000, false)]);
    }

    #[test]
    fn a_time_out_sends_everything_again_in_slow_start() {
        let (mut sender, pool, now) = sender(60_000);
        sender.push_copy(&[1; 3_000], &pool);
        sender.finish();
        assert_eq!(spans(&mut sender, now).len(), 3);
        sender.on_timeout();
        assert_eq!(spans(&mut sender, now), [(100, 1_000, false)]);
        let none = TcpOptions::default();
        sender.on_ack((Seq(1), Seq(1_100), 60_000), &none, true, (None, now));
        assert_eq!(
            spans(&mut sender, now),
            [(1_100, 1_000, false), (2_100, 1_000, true)]
        );
    }

    #[test]
    fn what_was_never_sent_cannot_be_acknowledged() {
        let (mut sender, _, now) = sender(60_000);
        let none = TcpOptions::default();
        let ack = (Seq(1), Seq(101), 60_000);
        assert_eq!(sender.on_ack(ack, &none, true, (None, now)), Acked::Invalid);
    }

    #[test]
    fn a_closed_window_blocks() {
        let (mut sender, pool, now) = sender(0);
        sender.push_copy(b"x", &pool);
        assert_eq!(spans(&mut sender, now), []);
        assert!(sender.is_blocked());
        sender.on_ack(
            (Seq(1), Seq(100), 1),
            &TcpOptions::default(),
            true,
            (None, now),
        );
        assert_eq!(spans(&mut sender, now), [(100, 1, false)]);
    }
}
