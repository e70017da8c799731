//! Taking back a slowing that nothing was lost for, and what was sent again in vain: by
//! timestamps (RFC 3522, RFC 4015) or by the peer's reports of duplicates (RFC 3708).

use std::time::{Duration, Instant};

use vpnm_wire::Seq;

use super::super::congestion::Congestion;

/// What timestamps count.
const TICK: Duration = Duration::from_millis(1);
/// Most stretches sent again that are told apart; of more, reports prove nothing.
const MAX_AGAIN: usize = 64;

/// The last slowing.
#[derive(Debug)]
pub(super) struct Undo {
    before: Congestion,
    /// All before this was out then.
    until: Seq,
    /// When something was first sent again since.
    since: Option<Instant>,
    /// What was sent again since, for the second time ever, and not reported by the peer to
    /// have come twice; `None` if its reports cannot tell that any more.
    again: Option<Vec<(Seq, Seq)>>,
    /// Whether an answer was one to what was sent again.
    repaired: bool,
}

impl Undo {
    pub(super) fn new(before: Congestion, until: Seq) -> Self {
        Self {
            before,
            until,
            since: None,
            again: Some(Vec::new()),
            repaired: false,
        }
    }

    /// How much could be out before.
    pub(super) fn before(&self) -> &Congestion {
        &self.before
    }

    /// What is between `left` and `right` was sent again; `second` if no more than once. Of
    /// what was sent more often, two copies may have come though the first was lost.
    pub(super) fn on_resent(&mut self, (left, right): (Seq, Seq), second: bool, now: Instant) {
        self.since.get_or_insert(now);
        self.again = self.again.take().filter(|_| second);
        let Some(again) = &mut self.again else {
            return;
        };
        match again.last_mut() {
            Some((_, end)) if *end == left => *end = right,
            Some(_) | None => again.push((left, right)),
        }
        self.bound();
    }

    /// The peer had what is between `left` and `right` already; whether that was the last of
    /// what was sent again.
    pub(super) fn on_duplicate(&mut self, left: Seq, right: Seq) -> bool {
        let Some(again) = &mut self.again else {
            return false;
        };
        let before = again.len();
        let rest = |&(from, to): &(Seq, Seq)| {
            let apart = !left.before(to) || !from.before(right);
            let head = if apart || to.before(left) { to } else { left };
            let tail = if apart { to } else { right };
            [(from, head), (tail, to)]
        };
        *again = again.iter().flat_map(rest).collect();
        again.retain(|(from, to)| from.before(*to));
        let proved = before > 0 && again.is_empty();
        self.bound();
        proved
    }

    fn bound(&mut self) {
        self.again = self.again.take().filter(|again| again.len() <= MAX_AGAIN);
    }

    /// All before `una` was acknowledged, in answer to what was sent at `answered`; whether
    /// that was all that had been out, before anything was sent again. `early` if the first
    /// answer tells that much.
    pub(super) fn on_progress(&mut self, una: Seq, answered: Instant, early: bool) -> bool {
        let Some(since) = self.since else {
            return false;
        };
        self.repaired |= since < answered + TICK;
        !self.repaired && (early || self.until.not_after(una))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undo(now: Instant) -> Undo {
        let mut undo = Undo::new(Congestion::new(1_000), Seq(5_000));
        undo.on_resent((Seq(0), Seq(1_000)), true, now);
        undo.on_resent((Seq(1_000), Seq(2_000)), true, now);
        undo.on_resent((Seq(3_000), Seq(4_000)), true, now);
        undo
    }

    #[test]
    fn all_that_was_sent_again_must_have_been_in_vain() {
        let mut undo = undo(Instant::now());
        for (left, right, proof, what) in [
            (500, 1_000, false, "a part"),
            (500, 1_000, false, "that part again"),
            (2_000, 3_000, false, "sent once"),
            (6_000, 60_000, false, "sent since"),
            (3_000, 4_000, false, "another"),
            (900, 3_500, false, "a part and more"),
            (u32::MAX, 500, true, "the rest"),
            (u32::MAX, 500, false, "all was said"),
        ] {
            assert_eq!(undo.on_duplicate(Seq(left), Seq(right)), proof, "{what}");
        }
    }

    #[test]
    fn a_report_before_anything_was_sent_again_proves_nothing() {
        let mut undo = Undo::new(Congestion::new(1_000), Seq(5_000));
        assert!(!undo.on_duplicate(Seq(0), Seq(1_000)));
    }

    #[test]
    fn of_what_was_sent_three_times_two_copies_prove_nothing() {
        let now = Instant::now();
        let mut undo = undo(now);
        undo.on_resent((Seq(0), Seq(1_000)), false, now);
        assert!(!undo.on_duplicate(Seq(0), Seq(4_000)));
        undo.on_resent((Seq(4_000), Seq(5_000)), true, now);
        assert!(!undo.on_duplicate(Seq(4_000), Seq(5_000)));
    }

    #[test]
    fn what_is_told_apart_is_bounded() {
        let now = Instant::now();
        for (pieces, proof) in [(64, true), (65, false)] {
            let mut undo = Undo::new(Congestion::new(1_000), Seq(5_000));
            for piece in 0..pieces {
                undo.on_resent((Seq(piece * 20), Seq(piece * 20 + 10)), true, now);
            }
            assert_eq!(undo.on_duplicate(Seq(0), Seq(2_000)), proof, "{pieces}");
        }
    }

    #[test]
    fn an_answer_to_what_was_sent_before_proves_it() {
        let now = Instant::now() + 10 * TICK;
        for (earlier, early, una, proof) in [
            (2, false, 5_000, true),
            (2, false, 1_000, false),
            (2, true, 1_000, true),
            (0, true, 5_000, false),
        ] {
            let answered = now - earlier * TICK;
            let proved = undo(now).on_progress(Seq(una), answered, early);
            assert_eq!(proved, proof, "{earlier} ms, {early}, {una}");
        }
        let mut undo = undo(now);
        assert!(!undo.on_progress(Seq(1_000), now, false));
        assert!(
            !undo.on_progress(Seq(5_000), now - 2 * TICK, false),
            "one was needed"
        );
    }
}
