//! Taking back a slowing that nothing was lost for, and what was sent again in vain: by
//! timestamps (RFC 3522, RFC 4015) or by the peer's reports of duplicates (RFC 3708).

use std::time::{Duration, Instant};

use vpnm_wire::Seq;

use super::super::congestion::Congestion;

/// What timestamps count.
const TICK: Duration = Duration::from_millis(1);

/// The last slowing.
#[derive(Debug)]
pub(super) struct Undo {
    before: Congestion,
    /// All before this was out then.
    until: Seq,
    /// When something was first sent again since.
    since: Option<Instant>,
    /// Bytes sent again that the peer did not report to have had.
    needed: usize,
    /// Whether an answer was one to what was sent again.
    repaired: bool,
}

impl Undo {
    pub(super) fn new(before: Congestion, until: Seq) -> Self {
        Self {
            before,
            until,
            since: None,
            needed: 0,
            repaired: false,
        }
    }

    /// How much could be out before.
    pub(super) fn before(&self) -> &Congestion {
        &self.before
    }

    /// So many bytes were sent again.
    pub(super) fn on_resent(&mut self, bytes: usize, now: Instant) {
        self.since.get_or_insert(now);
        self.needed += bytes;
    }

    /// The peer had what is between `left` and `right` already; whether that goes for all
    /// that was sent again.
    pub(super) fn on_duplicate(&mut self, left: Seq, right: Seq) -> bool {
        let counts = self.since.is_some() && left.before(self.until);
        if counts {
            self.needed = self.needed.saturating_sub(right - left);
        }
        counts && self.needed == 0
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
        undo.on_resent(2_000, now);
        undo
    }

    #[test]
    fn all_that_was_sent_again_must_have_been_in_vain() {
        let mut undo = undo(Instant::now());
        assert!(!undo.on_duplicate(Seq(0), Seq(1_000)));
        assert!(!undo.on_duplicate(Seq(6_000), Seq(7_000)), "sent since");
        assert!(undo.on_duplicate(Seq(1_000), Seq(2_000)));
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
