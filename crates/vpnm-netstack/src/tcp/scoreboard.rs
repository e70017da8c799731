//! What a peer has selectively acknowledged (RFC 6675).

use vpnm_wire::{Seq, TcpOptions};

/// Most ranges remembered; more are ignored, and their bytes at worst sent twice.
const MAX_RANGES: usize = 128;

/// Ranges in order, disjoint and not adjacent.
#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    ranges: Vec<(Seq, Seq)>,
    total: usize,
}

impl Scoreboard {
    /// Takes over the ranges a segment reports between `una` and `next`; whether any
    /// was new.
    pub(crate) fn add(&mut self, options: &TcpOptions, una: Seq, next: Seq) -> bool {
        let before = self.total;
        for &(left, right) in options.sack.iter().take(options.sacks) {
            let left = left.max(una);
            if left.before(right) && right.not_after(next) {
                self.insert(left, right);
            }
        }
        self.total > before
    }

    fn insert(&mut self, mut left: Seq, mut right: Seq) {
        // The ranges that touch the new one become one with it.
        let first = self.ranges.partition_point(|range| range.1.before(left));
        let touching = self
            .ranges
            .iter()
            .skip(first)
            .take_while(|range| range.0.not_after(right))
            .count();
        if touching == 0 && self.ranges.len() >= MAX_RANGES {
            return;
        }
        for range in self.ranges.drain(first..first + touching) {
            self.total -= range.1 - range.0;
            left = if range.0.before(left) { range.0 } else { left };
            right = right.max(range.1);
        }
        self.total += right - left;
        self.ranges.insert(first, (left, right));
    }

    /// All before `una` was acknowledged.
    pub(crate) fn forget_before(&mut self, una: Seq) {
        if self.ranges.is_empty() {
            return;
        }
        self.ranges.retain_mut(|range| {
            range.0 = range.0.max(una);
            range.0.before(range.1)
        });
        self.total = self.ranges.iter().map(|range| range.1 - range.0).sum();
        if self.ranges.is_empty() {
            self.ranges = Vec::new();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.total = 0;
    }

    /// Bytes in all ranges.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Where the last range ends.
    pub(crate) fn highest(&self) -> Option<Seq> {
        self.ranges.last().map(|range| range.1)
    }

    /// The first stretch between `from` and `to` that is in no range.
    pub(crate) fn hole(&self, mut from: Seq, to: Seq) -> Option<(Seq, Seq)> {
        for &(left, right) in &self.ranges {
            if from.before(left) {
                let end = if left.before(to) { left } else { to };
                return from.before(end).then_some((from, end));
            }
            from = from.max(right);
        }
        from.before(to).then_some((from, to))
    }

    /// Bytes between `from` and `to` that are in no range.
    pub(crate) fn missing(&self, from: Seq, to: Seq) -> usize {
        let covered: usize = self
            .ranges
            .iter()
            .map(|&(left, right)| {
                let right = if right.before(to) { right } else { to };
                right - left.max(from)
            })
            .sum();
        (to - from).saturating_sub(covered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(board: &mut Scoreboard, left: u32, right: u32) -> bool {
        let mut options = TcpOptions {
            sacks: 1,
            ..TcpOptions::default()
        };
        options.sack[0] = (Seq(left), Seq(right));
        board.add(&options, Seq(10), Seq(100))
    }

    #[test]
    fn ranges_merge_and_holes_are_found() {
        let mut board = Scoreboard::default();
        assert!(add(&mut board, 20, 30));
        assert!(add(&mut board, 40, 50));
        assert!(!add(&mut board, 20, 30));
        assert!(add(&mut board, 30, 35));
        assert_eq!(board.ranges, [(Seq(20), Seq(35)), (Seq(40), Seq(50))]);
        assert_eq!(board.total(), 25);
        assert_eq!(board.hole(Seq(10), Seq(50)), Some((Seq(10), Seq(20))));
        assert_eq!(board.hole(Seq(20), Seq(50)), Some((Seq(35), Seq(40))));
        assert_eq!(board.hole(Seq(40), Seq(50)), None);
        assert_eq!(board.missing(Seq(10), Seq(50)), 15);
        assert!(add(&mut board, 15, 60));
        assert_eq!(board.ranges, [(Seq(15), Seq(60))]);
        board.forget_before(Seq(50));
        assert_eq!((board.total(), board.highest()), (10, Some(Seq(60))));
    }

    #[test]
    fn ranges_that_cannot_be_are_ignored() {
        let mut board = Scoreboard::default();
        for (left, right) in [(5, 9), (90, 101), (30, 30), (30, 20)] {
            assert!(!add(&mut board, left, right), "{left} to {right}");
        }
        assert!(
            add(&mut board, 5, 12),
            "only what is not acknowledged counts"
        );
        assert_eq!(board.ranges, [(Seq(10), Seq(12))]);
    }
}
