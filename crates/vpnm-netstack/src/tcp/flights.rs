//! What was sent and not acknowledged: when, whether again, and what became of it as far
//! as the peer's reports tell (RFC 6675, RFC 8985 section 6.1).

use std::collections::VecDeque;
use std::time::Instant;

use vpnm_wire::Seq;

/// Most stretches that are told apart; a peer that reports single bytes gets no more.
const MAX_STRETCHES: usize = 2_048;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// On its way, as far as anybody knows.
    Out,
    /// To be sent again.
    Lost,
    /// The peer reported it beyond a hole.
    Arrived,
}

/// Bytes that were sent at one time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) left: Seq,
    pub(super) right: Seq,
    /// When it was sent, the last time.
    pub(super) sent: Instant,
    /// Whether that was not the first time.
    pub(super) resent: bool,
    pub(super) fate: Fate,
}

impl Stretch {
    fn len(&self) -> usize {
        self.right - self.left
    }
}

/// Stretches in order, without gaps.
#[derive(Debug, Default)]
pub(super) struct Flights {
    stretches: VecDeque<Stretch>,
    arrived: usize,
    lost: usize,
}

impl Flights {
    /// Bytes that the peer reported beyond a hole.
    pub(super) fn arrived(&self) -> usize {
        self.arrived
    }

    /// Bytes to be sent again.
    pub(super) fn lost(&self) -> usize {
        self.lost
    }

    /// Whether nothing that is out can have been sent before `sent`, but for what was sent
    /// at that very time.
    pub(super) fn are_newer(&self, sent: Instant) -> bool {
        let first = self.stretches.front();
        // What was sent again is newer than its neighbours, all else is in order.
        first.is_none_or(|first| !first.resent && first.sent >= sent)
    }

    /// Whether the peer reported what it did not acknowledge, which it must have thrown
    /// away since (RFC 2018 section 8).
    pub(super) fn is_reneged(&self) -> bool {
        let first = self.stretches.front();
        first.is_some_and(|first| first.fate == Fate::Arrived)
    }

    /// New bytes were sent.
    pub(super) fn on_sent(&mut self, left: Seq, right: Seq, now: Instant) {
        let full = self.stretches.len() >= MAX_STRETCHES;
        if let Some(last) = self.stretches.back_mut()
            && last.fate == Fate::Out
            && (full || last.sent == now && !last.resent)
        {
            (last.right, last.sent) = (right, now);
            return;
        }
        self.stretches.push_back(Stretch {
            left,
            right,
            sent: now,
            resent: false,
            fate: Fate::Out,
        });
    }

    /// All before `una` was acknowledged; tells of what was not known to have arrived.
    pub(super) fn acknowledge(&mut self, una: Seq, mut delivered: impl FnMut(&Stretch)) {
        while let Some(first) = self.stretches.front().copied()
            && first.left.before(una)
        {
            let rest = first.right - una;
            self.count(first.fate, first.len() - rest, false);
            if first.fate != Fate::Arrived {
                let right = if rest > 0 { una } else { first.right };
                delivered(&Stretch { right, ..first });
            }
            match self.stretches.front_mut() {
                Some(first) if rest > 0 => first.left = una,
                Some(_) | None => _ = self.stretches.pop_front(),
            }
        }
        if self.stretches.is_empty() {
            self.stretches = VecDeque::new();
        }
    }

    /// The peer reported that `left..right` arrived; tells of what was not known to have,
    /// and whether there was any.
    pub(super) fn arrive(
        &mut self,
        left: Seq,
        right: Seq,
        mut delivered: impl FnMut(&Stretch),
    ) -> bool {
        let before = self.arrived;
        let range = self.cut(left, right);
        let place = range.start;
        for index in range.clone() {
            let Some(stretch) = self.stretches.get_mut(index) else {
                continue;
            };
            let known = *stretch;
            stretch.fate = Fate::Arrived;
            if known.fate != Fate::Arrived {
                delivered(&known);
                self.count(known.fate, known.len(), false);
                self.count(Fate::Arrived, known.len(), true);
            }
        }
        for _ in range {
            self.join_next(place);
        }
        self.join_next(place);
        if let Some(before) = place.checked_sub(1) {
            self.join_next(before);
        }
        self.arrived > before
    }

    /// Makes one of two neighbours that arrived.
    fn join_next(&mut self, index: usize) {
        let arrived = |stretch: &&Stretch| stretch.fate == Fate::Arrived;
        let next = self.stretches.get(index + 1).filter(arrived).copied();
        let this = self.stretches.get_mut(index);
        if let Some(this) = this.filter(|this| this.fate == Fate::Arrived)
            && let Some(next) = next
        {
            this.right = next.right;
            self.stretches.remove(index + 1);
        }
    }

    /// Marks what is on its way between `left` and `right` as lost, if `is_lost` says so.
    pub(super) fn lose(
        &mut self,
        left: Seq,
        right: Seq,
        mut is_lost: impl FnMut(&Stretch) -> bool,
    ) -> bool {
        let before = self.lost;
        for index in self.cut(left, right) {
            if let Some(stretch) = self.stretches.get_mut(index)
                && stretch.fate == Fate::Out
                && is_lost(stretch)
            {
                stretch.fate = Fate::Lost;
                self.lost += stretch.len();
            }
        }
        self.lost > before
    }

    /// The peer may have thrown away what it reported.
    pub(super) fn forget_arrived(&mut self) {
        for stretch in &mut self.stretches {
            if stretch.fate == Fate::Arrived {
                stretch.fate = Fate::Out;
            }
        }
        self.arrived = 0;
    }

    /// What was taken for lost is on its way after all.
    pub(super) fn find_lost(&mut self) {
        for stretch in &mut self.stretches {
            if stretch.fate == Fate::Lost {
                stretch.fate = Fate::Out;
            }
        }
        self.lost = 0;
    }

    /// The first stretch to be sent again.
    pub(super) fn first_lost(&self) -> Option<(Seq, Seq)> {
        if self.lost == 0 {
            return None;
        }
        let mut lost = self
            .stretches
            .iter()
            .skip_while(|stretch| stretch.fate != Fate::Lost)
            .take_while(|stretch| stretch.fate == Fate::Lost);
        let first = lost.next()?;
        let last = lost.last().unwrap_or(first);
        Some((first.left, last.right))
    }

    /// What is between `left` and `right` was sent again; whether all of it for the first
    /// time.
    pub(super) fn on_resent(&mut self, left: Seq, right: Seq, now: Instant) -> bool {
        let mut sent_once = 0;
        for index in self.cut(left, right) {
            let Some(stretch) = self.stretches.get_mut(index) else {
                continue;
            };
            let (fate, len) = (stretch.fate, stretch.len());
            if fate != Fate::Arrived {
                sent_once += if stretch.resent { 0 } else { len };
                (stretch.sent, stretch.resent, stretch.fate) = (now, true, Fate::Out);
                self.count(fate, len, false);
            }
        }
        sent_once == right - left
    }

    fn count(&mut self, fate: Fate, bytes: usize, more: bool) {
        let counter = match fate {
            Fate::Out => return,
            Fate::Lost => &mut self.lost,
            Fate::Arrived => &mut self.arrived,
        };
        *counter = if more {
            *counter + bytes
        } else {
            counter.saturating_sub(bytes)
        };
    }

    /// The stretches between `left` and `right`, cut so that they end there.
    fn cut(&mut self, left: Seq, right: Seq) -> std::ops::Range<usize> {
        let start = self.cut_at(left, true);
        let end = self.cut_at(right, false);
        start..end.max(start)
    }

    /// The first stretch that begins at `at` or behind it. One that `at` is within is cut,
    /// unless there are too many: then it counts as a whole to one side.
    fn cut_at(&mut self, at: Seq, skip: bool) -> usize {
        let index = self
            .stretches
            .partition_point(|stretch| stretch.right.not_after(at));
        let full = self.stretches.len() >= MAX_STRETCHES;
        let Some(stretch) = self.stretches.get_mut(index) else {
            return index;
        };
        if at.not_after(stretch.left) {
            return index;
        }
        if full {
            return if skip { index + 1 } else { index };
        }
        let first = Stretch {
            right: at,
            ..*stretch
        };
        stretch.left = at;
        self.stretches.insert(index, first);
        index + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 100;

    /// Ten segments that were sent one after the other, each at another time.
    fn flights() -> (Flights, Instant) {
        let start = Instant::now();
        let mut flights = Flights::default();
        for number in 0..10 {
            let left = Seq(number * MSS);
            let at = start + std::time::Duration::from_millis(u64::from(number));
            flights.on_sent(left, left.plus(100), at);
        }
        (flights, start)
    }

    fn fates(flights: &Flights) -> String {
        let letter = |stretch: &Stretch| match stretch.fate {
            Fate::Out => format!("o{}", stretch.len()),
            Fate::Lost => format!("l{}", stretch.len()),
            Fate::Arrived => format!("a{}", stretch.len()),
        };
        let all: Vec<_> = flights.stretches.iter().map(letter).collect();
        all.join(" ")
    }

    #[test]
    fn reports_join_and_holes_are_found() {
        let (mut flights, now) = flights();
        let mut told = Vec::new();
        assert!(flights.arrive(Seq(250), Seq(500), |stretch| told.push(stretch.left.0)));
        assert!(!flights.arrive(Seq(300), Seq(400), |_| panic!("it is known")));
        assert_eq!(told, [250, 300, 400]);
        assert!(flights.arrive(Seq(500), Seq(600), |_| {}));
        assert_eq!(flights.arrived(), 350);
        assert!(flights.lose(Seq(0), Seq(600), |_| true));
        assert_eq!(fates(&flights), "l100 l100 l50 a350 o100 o100 o100 o100");
        assert_eq!(flights.first_lost(), Some((Seq(0), Seq(250))));
        flights.on_resent(Seq(0), Seq(120), now);
        assert_eq!(flights.first_lost(), Some((Seq(120), Seq(250))));
        assert_eq!(flights.lost(), 130);
        flights.acknowledge(Seq(600), |stretch| told.push(stretch.left.0));
        assert_eq!(told[3..], [0, 100, 120, 200]);
        assert_eq!((flights.arrived(), flights.lost()), (0, 0));
        assert_eq!(fates(&flights), "o100 o100 o100 o100");
    }

    #[test]
    fn part_of_a_stretch_may_be_acknowledged() {
        let (mut flights, _) = flights();
        let mut told = Vec::new();
        flights.acknowledge(Seq(130), |stretch| told.push(stretch.len()));
        assert_eq!(told, [100, 30]);
        assert_eq!(
            fates(&flights),
            "o70 o100 o100 o100 o100 o100 o100 o100 o100"
        );
    }

    #[test]
    fn what_was_sent_again_before_is_known() {
        let (mut flights, now) = flights();
        flights.arrive(Seq(800), Seq(900), |_| {});
        for (left, right, first) in [
            (150, 350, true),
            (100, 150, true),
            (350, 360, true),
            (340, 400, false),
            (0, 1_000, false),
        ] {
            assert_eq!(flights.on_resent(Seq(left), Seq(right), now), first);
        }
    }

    #[test]
    fn what_was_reported_and_thrown_away_is_out_again() {
        let (mut flights, _) = flights();
        flights.arrive(Seq(0), Seq(300), |_| {});
        assert!(flights.is_reneged());
        flights.forget_arrived();
        assert!(flights.arrived() == 0 && !flights.is_reneged());
        assert!(flights.lose(Seq(0), Seq(1_000), |_| true));
        assert_eq!(flights.lost(), 1_000);
    }

    #[test]
    fn reports_of_single_bytes_are_bounded() {
        let (mut flights, now) = flights();
        flights.on_sent(Seq(1_000), Seq(100_000), now);
        for at in (1..100_000).step_by(2) {
            flights.arrive(Seq(at), Seq(at + 1), |_| {});
        }
        assert!(flights.stretches.len() <= MAX_STRETCHES);
        let sum = |fate| {
            let all = flights.stretches.iter();
            all.filter(|stretch| stretch.fate == fate)
                .map(Stretch::len)
                .sum::<usize>()
        };
        assert_eq!(flights.arrived(), sum(Fate::Arrived));
        assert_eq!(sum(Fate::Arrived) + sum(Fate::Out), 100_000);
        flights.acknowledge(Seq(100_000), |_| {});
        assert!(flights.stretches.is_empty() && flights.arrived() == 0);
    }
}
