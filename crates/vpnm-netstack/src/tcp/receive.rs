//! The receiving half of a connection: order, window, selective acknowledgements.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use vpnm_wire::{BufferPool, Chunk, LARGE, MAX_SACK, Seq, TcpOptions};

/// Window of a new flow in bytes.
const INITIAL_LIMIT: usize = 256 * 1024;
/// Window of a flow that keeps draining super-packets. Measured: 256 KiB costs a third of
/// the speed of one flow, and 2 MiB, of which a quarter is read at once, a tenth.
/// Nor are less better for many: of eight flows together 512 KiB take an eighth and 128 KiB
/// a quarter. What makes eight dearer than one is copying what another core wrote, at 17
/// instead of 48 GB/s and for 64 KiB as for 16 MiB, not that caches are full.
const FULL_LIMIT: usize = 4 << 20;
/// A flow that drains its whole window in less than this deserves a larger one.
const FAST: Duration = Duration::from_millis(100);
/// And one of this machine, whose window is under way for as long as it waits in the link's
/// queue, and whatever others send behind it. One that takes twice as long gets half.
/// Measured: beside eight flows with whole windows a small one waited for 15 to 20 ms, with
/// four times this for 3.4 to 4.1, with this for 1.3 to 2.2, at the same throughput.
const FAST_NEAR: Duration = Duration::from_micros(500);
/// Payload from this size on is kept in the buffer it arrived in; less is copied, so
/// that little data does not pin much memory.
const WORTH_KEEPING: usize = 16 * 1024;
/// Ranges kept beyond a hole.
const MAX_PIECES: usize = 64;
/// Places kept of what came since the last report, and of what that named.
const MAX_RECENT: usize = 2 * MAX_SACK;
/// Every window we announce is in units of 256 bytes.
pub(crate) const WINDOW_SHIFT: u8 = 8;

/// Received bytes beyond a hole.
#[derive(Debug)]
struct Piece {
    at: Seq,
    bytes: Chunk,
}

impl Piece {
    fn end(&self) -> Seq {
        self.at.plus(self.bytes.len())
    }
}

#[derive(Debug)]
pub(crate) struct Receiver {
    /// The next byte expected.
    next: Seq,
    /// The first byte that may not be sent.
    edge: Seq,
    limit: usize,
    shift: u8,
    chunks: VecDeque<Chunk>,
    /// Bytes in `chunks`.
    queued: usize,
    /// Bytes taken by the user and not yet released.
    lent: usize,
    /// Sorted by place, disjoint.
    beyond: Vec<Piece>,
    /// A place in each range that the next report names first: where the last pieces went,
    /// the latest first, and what was reported before.
    recent: Vec<Seq>,
    /// What was received twice and not reported yet.
    again: Option<(Seq, Seq)>,
    /// Where the peer's FIN stands, once it is known.
    fin: Option<Seq>,
    finished: bool,
    /// Bytes released since `since`.
    drained: usize,
    since: Option<Instant>,
    /// Whether super-packets arrive, which do not overflow the link's queue.
    bulk: bool,
}

/// What a segment's payload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The stream went on, by new bytes or by its end.
    Advanced,
    /// It left a hole, was received before, or is beyond the window: the sender must
    /// be told what is missing.
    Unexpected,
}

/// Bytes that a new flow may receive: without scaling as many as a header can announce.
fn initial_limit(scaling: bool) -> usize {
    if scaling { INITIAL_LIMIT } else { 65_535 }
}

impl Receiver {
    /// For a peer whose SYN had this sequence number.
    pub(crate) fn new(syn: Seq, scaling: bool) -> Self {
        let next = syn.plus(1);
        Self {
            next,
            edge: next,
            limit: initial_limit(scaling),
            shift: if scaling { WINDOW_SHIFT } else { 0 },
            chunks: VecDeque::new(),
            queued: 0,
            lent: 0,
            beyond: Vec::new(),
            recent: Vec::new(),
            again: None,
            fin: None,
            finished: false,
            drained: 0,
            since: None,
            bulk: false,
        }
    }

    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// Whether all up to the peer's FIN was received.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether bytes wait for the user.
    pub(crate) fn has_data(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Bytes the flow holds on behalf of its user.
    fn held(&self) -> usize {
        self.queued + self.lent
    }

    /// Whether a segment touches the window (RFC 9293 section 3.10.7.4).
    pub(crate) fn is_acceptable(&self, seq: Seq, length: usize) -> bool {
        let window = self.edge - self.next;
        let inside = |at: Seq| self.next.not_after(at) && at.before(self.edge);
        match (length, window) {
            (0, 0) => seq == self.next,
            (0, _) => inside(seq),
            (_, 0) => false,
            _ => {
                inside(seq) || inside(seq.plus(length - 1)) || {
                    // It begins before the window and ends behind it.
                    seq.before(self.next) && self.edge.not_after(seq.plus(length))
                }
            }
        }
    }

    /// Whether a reset of this number is the peer's: of the next byte, or of the FIN that
    /// was received, as some hosts number it that are sent data after it.
    pub(crate) fn is_end(&self, seq: Seq) -> bool {
        seq == self.next || self.finished && seq == self.next.minus(1)
    }

    /// Whether a reset of this number could be the peer's, which may have sent all that it
    /// was allowed to.
    pub(crate) fn is_near(&self, seq: Seq) -> bool {
        self.next.not_after(seq) && seq.not_after(self.edge)
    }

    /// Takes the payload of a segment at `seq`, and its FIN.
    pub(crate) fn accept(
        &mut self,
        seq: Seq,
        mut bytes: Chunk,
        fin: bool,
        pool: &BufferPool,
    ) -> Arrival {
        let end = seq.plus(bytes.len());
        let ended = fin && self.fin == Some(end);
        if fin && end.not_after(self.edge) && self.fin.is_none() {
            self.fin = Some(end);
            self.cut_beyond(end);
        }
        // Nothing is behind the end of the stream, whatever else is said later.
        let edge = self.fin.unwrap_or(self.edge);
        if edge.before(end) {
            bytes.truncate(edge - seq);
        }
        let before = self.next;
        self.on_again(seq, bytes.len());
        if seq.before(self.next) {
            bytes.advance(self.next - seq);
            self.append(bytes, pool);
        } else if seq == self.next {
            self.append(bytes, pool);
        } else if bytes.is_empty() {
            self.note(seq);
        } else {
            self.insert(seq, bytes, pool);
        }
        if ended {
            self.on_end_again(end);
        }
        self.close_holes(pool);
        if self.fin == Some(self.next) && !self.finished {
            self.finished = true;
            self.next = self.next.plus(1);
            self.edge = self.edge.max(self.next);
        }
        if self.next == before || !self.beyond.is_empty() {
            Arrival::Unexpected
        } else {
            Arrival::Advanced
        }
    }

    /// The FIN at `end` was received before, and perhaps what is in front of it.
    fn on_end_again(&mut self, end: Seq) {
        let with = self.again.filter(|(_, known)| *known == end);
        self.again = Some((with.map_or(end, |(from, _)| from), end.plus(1)));
    }

    /// What takes `len` places from `seq` on, a FIN included, may have been received before.
    pub(crate) fn on_again(&mut self, seq: Seq, len: usize) {
        let end = seq.plus(len);
        if seq.before(self.next) && len > 0 {
            let known = if end.before(self.next) {
                end
            } else {
                self.next
            };
            self.again = Some((seq, known));
        }
    }

    /// The next bytes of the stream.
    fn append(&mut self, bytes: Chunk, pool: &BufferPool) {
        let count = bytes.len();
        if count == 0 || self.finished {
            return;
        }
        self.next = self.next.plus(count);
        self.queued += count;
        if count >= WORTH_KEEPING {
            self.bulk = true;
            self.chunks.push_back(bytes);
            return;
        }
        let copied = self
            .chunks
            .back_mut()
            .filter(|last| last.room() >= count)
            .map_or(0, |last| last.append(&bytes));
        if copied == 0 {
            // Where bytes already wait, more are coming: each buffer is larger than the last.
            let last = self.chunks.back().map_or(0, Chunk::footprint);
            let mut chunk = Chunk::empty(pool.fitting(count.max(last + 1).min(LARGE)));
            chunk.append(&bytes);
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes beyond a hole; those that are there already are left out.
    fn insert(&mut self, at: Seq, mut bytes: Chunk, pool: &BufferPool) {
        self.note(at);
        let whole = bytes.len();
        let end = at.plus(whole);
        let place = self.beyond.partition_point(|piece| piece.at.not_after(at));
        let previous = place.checked_sub(1).and_then(|i| self.beyond.get(i));
        let known = previous.map_or(0, |piece| piece.end() - at).min(whole);
        if known > 0 {
            self.again = Some((at, at.plus(known)));
        }
        bytes.advance(known);
        let at = at.plus(whole - bytes.len());
        let rest = self.beyond.iter().skip(place);
        let covered = rest.take_while(|piece| piece.end().not_after(end)).count();
        self.beyond.drain(place..place + covered);
        if let Some(next) = self.beyond.get(place) {
            bytes.truncate(next.at - at);
        }
        if bytes.is_empty() {
            return;
        }
        let previous = place.checked_sub(1).and_then(|i| self.beyond.get_mut(i));
        let adjacent = match previous {
            Some(piece) if piece.end() == at => {
                if piece.bytes.room() >= bytes.len() {
                    piece.bytes.append(&bytes);
                    return;
                }
                piece.bytes.footprint() + 1
            }
            Some(_) | None => 0,
        };
        if self.beyond.len() >= MAX_PIECES {
            if place == self.beyond.len() {
                return;
            }
            // What is nearer will be of use sooner.
            self.beyond.pop();
        }
        let bytes = if bytes.len() >= WORTH_KEEPING {
            bytes
        } else {
            let mut copy = Chunk::empty(pool.fitting(adjacent.max(bytes.len()).min(LARGE)));
            copy.append(&bytes);
            copy
        };
        self.beyond.insert(place, Piece { at, bytes });
    }

    /// Forgets what was received beyond `end`.
    fn cut_beyond(&mut self, end: Seq) {
        self.beyond.retain_mut(|piece| {
            piece.bytes.truncate(end - piece.at);
            !piece.bytes.is_empty()
        });
    }

    /// Forgets the piece that is furthest beyond a hole, which the peer sends again if it is
    /// the peer's (RFC 2018 section 8); whether there was one.
    pub(crate) fn prune(&mut self) -> bool {
        self.beyond.pop().is_some()
    }

    /// Appends what a filled hole kept back.
    fn close_holes(&mut self, pool: &BufferPool) {
        while self
            .beyond
            .first()
            .is_some_and(|piece| piece.at.not_after(self.next))
        {
            let mut piece = self.beyond.remove(0);
            piece.bytes.advance(self.next - piece.at);
            self.append(piece.bytes, pool);
        }
        if self.beyond.is_empty() && self.recent.capacity() > 0 {
            self.beyond = Vec::new();
            self.recent = Vec::new();
        }
    }

    /// The next received bytes, for the user.
    pub(crate) fn take(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front()?;
        self.queued -= chunk.len();
        self.lent += chunk.len();
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
        Some(chunk)
    }

    /// The user is done with `count` bytes; whether the peer should hear of the room.
    pub(crate) fn release(&mut self, count: usize, allowance: usize) -> bool {
        self.lent = self.lent.saturating_sub(count);
        self.drained += count;
        let gain = self.wanted_edge(allowance) - self.edge;
        let limit = self.limit.min(allowance);
        // Silly windows are avoided on this side (RFC 9293 section 3.8.6.2.2).
        gain >= limit / 4 && self.edge - self.next < limit / 2
    }

    /// Widens the window of a flow that drains fast, and narrows that of one which lets the
    /// link's queue stand: with a sender that is `near` nothing else takes time.
    pub(crate) fn tune(&mut self, near: bool, now: Instant) {
        if self.drained < self.limit {
            return;
        }
        let took = self.since.map(|since| now.saturating_duration_since(since));
        let fast = if near { FAST_NEAR } else { FAST };
        if took.is_some_and(|took| took < fast) && self.bulk && self.shift > 0 {
            self.limit = (self.limit * 2).min(FULL_LIMIT);
        } else if near && took.is_some_and(|took| took > 2 * fast) && self.limit > INITIAL_LIMIT {
            self.limit /= 2;
        }
        self.since = Some(now);
        self.drained = 0;
    }

    fn wanted_edge(&self, allowance: usize) -> Seq {
        let window = self.limit.min(allowance).saturating_sub(self.held());
        self.edge.max(self.next.plus(window))
    }

    /// The window to announce, as it stands in a header.
    pub(crate) fn announce(&mut self, allowance: usize) -> u16 {
        let window = (self.wanted_edge(allowance) - self.next) >> self.shift;
        let window = u16::try_from(window).unwrap_or(u16::MAX);
        // Rounding down may announce less than before, but what was announced stays
        // acceptable.
        let edge = self.next.plus(usize::from(window) << self.shift);
        self.edge = self.edge.max(edge);
        window
    }

    /// The window of a SYN, which is never scaled.
    pub(crate) fn announce_unscaled(&mut self) -> u16 {
        let window = u16::try_from(self.limit).unwrap_or(u16::MAX);
        self.edge = self.edge.max(self.next.plus(usize::from(window)));
        window
    }

    /// A SYN-ACK announced this window, and no more is received until [`Self::set_free`].
    pub(crate) fn confine(&mut self, window: u16) {
        self.limit = usize::from(window);
        self.announce_unscaled();
    }

    /// The window may open as that of any new flow.
    pub(crate) fn set_free(&mut self) {
        self.limit = initial_limit(self.shift > 0);
    }

    /// What was received twice (RFC 2883), then the ranges received beyond a hole, the
    /// latest first (RFC 2018 section 4). The former only in an acknowledgement `alone`: a
    /// super-packet that is cut would say it as often as it has parts.
    pub(crate) fn report(&mut self, alone: bool, options: &mut TcpOptions) {
        let again = if alone { self.again.take() } else { None };
        let ranges = again.into_iter().chain(self.ranges());
        for (place, range) in options.sack.iter_mut().zip(ranges) {
            *place = range;
            options.sacks += 1;
        }
    }

    /// What is beyond a hole, the FIN included, which has its place in the sequence. After
    /// the latest come those that were reported before: a report that was lost is made again.
    fn ranges(&mut self) -> Vec<(Seq, Seq)> {
        let mut ranges: Vec<(Seq, Seq)> = Vec::new();
        let fin = self.fin.filter(|_| !self.finished);
        let pieces = self.beyond.iter().map(|piece| (piece.at, piece.end()));
        for (left, right) in pieces.chain(fin.map(|fin| (fin, fin.plus(1)))) {
            match ranges.last_mut() {
                Some((_, last)) if left.not_after(*last) => *last = last.max(right),
                _ => ranges.push((left, right)),
            }
        }
        let mut sorted = 0;
        for at in &self.recent {
            let rest = ranges.get_mut(sorted..).unwrap_or_default();
            let within = |range: &(Seq, Seq)| range.0.not_after(*at) && at.before(range.1);
            if let Some(found) = rest.iter().position(within) {
                if let Some(until) = rest.get_mut(..=found) {
                    until.rotate_right(1);
                }
                sorted += 1;
            }
        }
        if !ranges.is_empty() {
            let reported = ranges.iter().take(MAX_SACK).map(|range| range.0);
            self.recent.clear();
            self.recent.extend(reported);
        }
        ranges
    }

    /// Something came at a place beyond a hole.
    fn note(&mut self, at: Seq) {
        let goes_on = |last: &Seq| {
            let place = self.beyond.partition_point(|piece| piece.at.before(at));
            let before = place.checked_sub(1).and_then(|i| self.beyond.get(i));
            before.is_some_and(|piece| piece.at.not_after(*last) && piece.end() == at)
                && last.before(at)
        };
        if self.recent.first().is_some_and(goes_on) {
            self.recent.remove(0);
        }
        self.recent.insert(0, at);
        self.recent.truncate(MAX_RECENT);
    }

    /// Whether something is missing before what was received.
    pub(crate) fn has_holes(&self) -> bool {
        !self.beyond.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: usize = usize::MAX;

    fn receiver() -> (Receiver, BufferPool) {
        let mut receiver = Receiver::new(Seq(u32::MAX - 10), true);
        receiver.announce(ALL);
        (receiver, BufferPool::new())
    }

    fn drain(receiver: &mut Receiver) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(chunk) = receiver.take() {
            all.extend_from_slice(&chunk);
            receiver.release(chunk.len(), ALL);
        }
        all
    }

    #[test]
    fn any_order_and_overlap_gives_the_stream() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        let data: Vec<u8> = (0..100).collect();
        for (from, to) in [(50, 60), (30, 55), (90, 100), (60, 91), (0, 10), (5, 31)] {
            let piece = pool.copy(&data[from..to]);
            receiver.accept(start.plus(from), piece, to == 100, &pool);
        }
        assert_eq!(drain(&mut receiver), data);
        assert!(receiver.is_finished());
        assert_eq!(receiver.next(), start.plus(101));
        assert_eq!(pool.bytes_out(), 0);
    }

    #[test]
    fn the_latest_range_is_reported_first() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        for from in [10, 40, 20, 11] {
            let arrival = receiver.accept(start.plus(from), pool.copy(b"x"), false, &pool);
            assert_eq!(arrival, Arrival::Unexpected);
        }
        let mut options = TcpOptions::default();
        receiver.report(true, &mut options);
        let expected = [(10, 12), (20, 21), (40, 41)];
        assert_eq!(options.sacks, expected.len());
        for (got, (left, right)) in options.sack.iter().zip(expected) {
            assert_eq!(*got, (start.plus(left), start.plus(right)));
        }
    }

    #[test]
    fn what_was_reported_is_reported_again_after_what_is_new() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        let mut reported = Vec::new();
        for from in [60, 10, 50, 20, 40, 41] {
            receiver.accept(start.plus(from), pool.copy(b"x"), false, &pool);
            let mut options = TcpOptions::default();
            receiver.report(true, &mut options);
            let ranges = options.sack.iter().take(options.sacks);
            reported = ranges.map(|range| range.0 - start).collect();
        }
        assert_eq!(reported, [40, 20, 50, 10]);
        for from in [30, 70, 71, 72, 73, 74, 75, 76, 77, 78] {
            receiver.accept(start.plus(from), pool.copy(b"x"), false, &pool);
        }
        let lefts: Vec<_> = receiver.ranges().iter().map(|r| r.0 - start).collect();
        assert_eq!(lefts, [70, 30, 40, 20, 50, 10, 60]);
    }

    #[test]
    fn an_end_beyond_a_hole_is_reported_as_received() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        let told = |receiver: &mut Receiver| {
            let mut options = TcpOptions::default();
            receiver.report(true, &mut options);
            let ranges = options.sack.iter().take(options.sacks);
            let places = ranges.map(|(left, right)| (*left - start, *right - start));
            places.collect::<Vec<_>>()
        };
        receiver.accept(start.plus(30), Chunk::empty(pool.fitting(0)), true, &pool);
        assert_eq!(told(&mut receiver), [(30, 31)]);
        receiver.accept(start.plus(10), pool.copy(b"x"), false, &pool);
        assert_eq!(told(&mut receiver), [(10, 11), (30, 31)]);
        receiver.accept(start.plus(20), pool.copy(&[1; 10]), true, &pool);
        assert_eq!(told(&mut receiver), [(30, 31), (20, 31), (10, 11)]);
        receiver.accept(start, pool.copy(&[1; 20]), false, &pool);
        assert!(receiver.is_finished() && told(&mut receiver).is_empty());
    }

    #[test]
    fn nothing_beyond_the_window_is_kept() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        let window = receiver.edge - start;
        assert_eq!(window, INITIAL_LIMIT);
        assert!(receiver.is_acceptable(start.plus(window - 1), 1));
        assert!(!receiver.is_acceptable(start.plus(window), 1));
        let piece = pool.copy(&[1; 100]);
        receiver.accept(start.plus(window - 10), piece, true, &pool);
        let mut options = TcpOptions::default();
        receiver.report(true, &mut options);
        assert_eq!(options.sack[0].1, receiver.edge);
        assert_eq!(receiver.fin, None);
    }

    #[test]
    fn the_window_closes_and_opens_with_the_user() {
        let (mut receiver, pool) = receiver();
        while receiver.edge != receiver.next() {
            let count = (receiver.edge - receiver.next()).min(60_000);
            let at = receiver.next();
            receiver.accept(at, pool.copy(&vec![0; count]), false, &pool);
            receiver.announce(ALL);
        }
        assert_eq!(receiver.announce(ALL), 0);
        assert!(receiver.is_acceptable(receiver.next(), 0));
        assert!(!receiver.is_acceptable(receiver.next(), 1));
        let mut told = false;
        while let Some(chunk) = receiver.take() {
            told |= receiver.release(chunk.len(), ALL);
        }
        assert!(told);
        assert_eq!(usize::from(receiver.announce(ALL)) << 8, INITIAL_LIMIT);
    }

    #[test]
    fn a_flow_that_gets_a_share_is_told_of_its_own_window() {
        let (mut receiver, pool) = receiver();
        receiver.limit = FULL_LIMIT;
        let share = FULL_LIMIT / 16;
        receiver.announce(share);
        while receiver.edge != receiver.next() {
            let count = (receiver.edge - receiver.next()).min(60_000);
            let at = receiver.next();
            receiver.accept(at, pool.copy(&vec![0; count]), false, &pool);
        }
        assert_eq!(receiver.announce(share), 0);
        let mut told = false;
        while let Some(chunk) = receiver.take() {
            told |= receiver.release(chunk.len(), share);
        }
        assert!(told, "it would have to ask");
    }

    #[test]
    fn a_window_is_no_longer_than_the_links_queue_is_quick() {
        let brief = FAST_NEAR / 2;
        let (mut receiver, _) = receiver();
        receiver.bulk = true;
        let mut now = Instant::now();
        let mut drain_in = |took: Duration, near: bool, times: usize| {
            for _ in 0..times {
                receiver.drained = receiver.limit;
                now += took;
                receiver.tune(near, now);
            }
            receiver.limit
        };
        assert_eq!(drain_in(brief, true, 10), FULL_LIMIT, "the link is quick");
        assert_eq!(drain_in(3 * brief, true, 10), FULL_LIMIT);
        assert_eq!(drain_in(5 * brief, true, 1), FULL_LIMIT / 2, "others came");
        assert_eq!(drain_in(5 * brief, true, 10), INITIAL_LIMIT);
        assert_eq!(drain_in(3 * brief, true, 10), INITIAL_LIMIT);
        let long = Duration::from_secs(5);
        assert_eq!(drain_in(FAST / 2, false, 10), FULL_LIMIT, "a long way");
        assert_eq!(drain_in(long, false, 10), FULL_LIMIT);
    }

    #[test]
    fn what_comes_twice_is_reported_once_and_first() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        for (at, count, again) in [
            (0, 10, None),
            (5, 10, Some((5, 10))),
            (0, 4, Some((0, 4))),
            (30, 10, None),
            (35, 20, Some((35, 40))),
            (32, 3, Some((32, 35))),
        ] {
            receiver.accept(start.plus(at), pool.copy(&vec![1; count]), false, &pool);
            let mut options = TcpOptions::default();
            let again = again.map(|(from, to)| (start.plus(from), start.plus(to)));
            assert_eq!(receiver.again, again);
            receiver.report(true, &mut options);
            let [first, ..] = options.sack;
            assert!(again.is_none_or(|again| again == first));
            assert_eq!(receiver.again, None);
        }
    }

    #[test]
    fn ranges_beyond_a_hole_are_bounded() {
        let (mut receiver, pool) = receiver();
        let start = receiver.next();
        for i in 0..1_000 {
            receiver.accept(start.plus(2 * i + 1), pool.copy(b"x"), false, &pool);
        }
        assert_eq!(receiver.beyond.len(), MAX_PIECES);
    }
}
