//! Timestamps (RFC 7323 sections 3 to 5): when what was acknowledged was sent, though it was
//! sent more than once, and whether a segment is as old as its number is not.
//!
//! Only for hosts behind the link's: on a link that loses nothing they would tell nothing.

use std::time::{Duration, Instant};

use vpnm_wire::{Seq, TcpStamps};

/// A connection that was idle for longer than this may have seen half of the peer's clock go
/// by, which then proves nothing (RFC 7323 section 5.5).
const OUTDATED: Duration = Duration::from_secs(24 * 24 * 60 * 60);
/// Half of all numbers: what is less than that behind is not before.
const HALF: u32 = 1 << 31;
/// Ticks that a segment may be behind: as Linux, for hosts whose processors do not quite
/// agree.
const DISAGREEMENT: u32 = 1;

/// The clocks of both ends of a connection.
#[derive(Debug)]
pub(crate) struct Stamps {
    /// Ours counts milliseconds since then, from a number that nobody knows.
    epoch: Instant,
    offset: u32,
    /// What is echoed: of the first segment that the next acknowledgement is of. 0 also of
    /// hosts whose clock runs only from behind their SYN on: it proves nothing.
    recent: u32,
    /// When that was set.
    heard: Instant,
    /// What was last acknowledged.
    acked: Seq,
}

impl Stamps {
    /// For a peer whose SYN had this sequence number and `value`.
    pub(crate) fn new(syn: Seq, value: u32, offset: u32, epoch: Instant, now: Instant) -> Self {
        Self {
            epoch,
            offset,
            recent: value,
            heard: now,
            acked: syn.plus(1),
        }
    }

    /// What the next segment echoes.
    pub(crate) fn echo(&self) -> u32 {
        self.recent
    }

    /// Milliseconds since the epoch.
    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(age).unwrap_or(u64::MAX)
    }

    fn value(&self, now: Instant) -> u32 {
        let low = self.age(now) & u64::from(u32::MAX);
        self.offset.wrapping_add(u32::try_from(low).unwrap_or(0))
    }

    /// For a segment that acknowledges all before `ack`.
    pub(crate) fn option(&mut self, ack: Seq, now: Instant) -> TcpStamps {
        self.acked = ack;
        TcpStamps {
            value: self.value(now),
            echo: self.recent,
        }
    }

    /// Whether a segment was sent before one that was acknowledged (PAWS).
    pub(crate) fn is_old(&self, stamps: TcpStamps, now: Instant) -> bool {
        self.behind(stamps, now) > DISAGREEMENT
    }

    /// How many ticks before what is echoed a segment was sent, if it was.
    fn behind(&self, stamps: TcpStamps, now: Instant) -> u32 {
        let behind = self.recent.wrapping_sub(stamps.value);
        let valid = now.saturating_duration_since(self.heard) < OUTDATED && self.recent != 0;
        if valid && behind < HALF { behind } else { 0 }
    }

    /// A segment at `seq` that is not old was accepted.
    pub(crate) fn on_segment(&mut self, stamps: TcpStamps, seq: Seq, now: Instant) {
        if seq.not_after(self.acked) && self.behind(stamps, now) == 0 {
            (self.recent, self.heard) = (stamps.value, now);
        }
    }

    /// When what the segment answers was sent, at most a millisecond before it was; `None`
    /// if that cannot be.
    pub(crate) fn answered(&self, stamps: TcpStamps, now: Instant) -> Option<Instant> {
        let ago = u64::from(self.value(now).wrapping_sub(stamps.echo));
        let sent = self.age(now).checked_sub(ago)?;
        Some(self.epoch + Duration::from_millis(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn stamps(epoch: Instant) -> Stamps {
        Stamps::new(Seq(9), u32::MAX - 1, u32::MAX - 2, epoch, epoch)
    }

    fn of(value: u32) -> TcpStamps {
        TcpStamps { value, echo: 0 }
    }

    #[test]
    fn the_clock_tells_when_what_is_echoed_was_sent() {
        let epoch = Instant::now();
        let mut stamps = stamps(epoch);
        let sent = epoch + 10 * MS + MS / 2;
        let echo = stamps.option(Seq(10), sent).value;
        assert_eq!(echo, 7, "it comes round");
        let answer = TcpStamps { value: 0, echo };
        assert_eq!(
            stamps.answered(answer, sent + 5 * MS),
            Some(epoch + 10 * MS)
        );
        let never = TcpStamps { value: 0, echo: 8 };
        assert_eq!(stamps.answered(never, sent), None);
    }

    #[test]
    fn what_is_echoed_is_of_the_first_segment_not_acknowledged() {
        let epoch = Instant::now();
        let mut stamps = stamps(epoch);
        stamps.on_segment(of(1), Seq(10), epoch);
        stamps.on_segment(of(2), Seq(20), epoch);
        assert_eq!(stamps.option(Seq(30), epoch).echo, 1);
        stamps.on_segment(of(5), Seq(40), epoch);
        assert_eq!(stamps.option(Seq(30), epoch).echo, 1, "beyond a hole");
        stamps.on_segment(of(6), Seq(30), epoch);
        assert_eq!(stamps.option(Seq(50), epoch).echo, 6);
    }

    #[test]
    fn old_is_what_was_sent_before_what_is_echoed() {
        let epoch = Instant::now();
        let mut stamps = stamps(epoch);
        stamps.on_segment(of(3), Seq(10), epoch);
        for (value, old) in [
            (3, false),
            (4, false),
            (3 + HALF, false),
            (2, false),
            (1, true),
            (u32::MAX, true),
            (4 + HALF, true),
        ] {
            assert_eq!(stamps.is_old(of(value), epoch), old, "{value}");
        }
        stamps.on_segment(of(2), Seq(10), epoch);
        assert_eq!(stamps.option(Seq(10), epoch).echo, 3, "not back");
        let late = epoch + OUTDATED;
        assert!(!stamps.is_old(of(1), late));
    }

    #[test]
    fn a_clock_that_runs_only_from_behind_the_syn_on_is_believed() {
        let epoch = Instant::now();
        for first in [1, HALF - 1, HALF, HALF + 7, u32::MAX] {
            let mut stamps = Stamps::new(Seq(9), 0, 0, epoch, epoch);
            assert!(!stamps.is_old(of(first), epoch), "{first}");
            stamps.on_segment(of(first), Seq(10), epoch);
            assert_eq!(stamps.option(Seq(10), epoch).echo, first);
            assert!(stamps.is_old(of(first.wrapping_sub(2)), epoch), "{first}");
        }
    }
}
