//! How much may be in flight (RFC 5681, with the decrease of RFC 9438).
//!
//! The host on the other side of the link is usually this machine, and nothing is
//! ever lost: the window then doubles until it does not matter. It matters for the
//! packets of other hosts that are forwarded through the link.

/// Segments of the first flight. More than RFC 6928's ten, since the link itself is
/// memory and a queue of at least 500 packets.
const INITIAL_SEGMENTS: usize = 32;
/// Nothing is gained by more: twice the largest send queue.
const MAX_WINDOW: usize = 4 << 20;

/// The congestion window of one flow, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Congestion {
    window: usize,
    /// Below this the window doubles every round trip.
    threshold: usize,
    /// Bytes acknowledged since the window last grew by a segment.
    credit: usize,
}

impl Congestion {
    pub(crate) fn new(mss: usize) -> Self {
        Self {
            window: mss * INITIAL_SEGMENTS,
            threshold: usize::MAX,
            credit: 0,
        }
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// `bytes` were acknowledged while `in_flight` were out.
    pub(crate) fn on_ack(&mut self, bytes: usize, in_flight: usize, mss: usize) {
        // A window that was not used proves nothing (RFC 7661).
        if in_flight * 2 < self.window {
            return;
        }
        if self.window < self.threshold {
            self.window += bytes;
        } else {
            self.credit += bytes;
            if self.credit >= self.window {
                self.credit -= self.window;
                self.window += mss;
            }
        }
        self.window = self.window.min(MAX_WINDOW);
    }

    /// Something was lost while `in_flight` bytes were out.
    pub(crate) fn on_loss(&mut self, in_flight: usize, mss: usize) {
        self.threshold = (in_flight / 10 * 7).max(2 * mss);
        self.window = self.threshold;
        self.credit = 0;
    }

    /// Nothing was lost that there was a slowing for, and `pipe` bytes are out: as many as
    /// `before` may be again, but not at one blow (RFC 4015 section 3.4).
    pub(crate) fn restore(&mut self, before: &Self, pipe: usize, mss: usize) {
        self.threshold = self.threshold.max(before.threshold).max(before.window);
        let some = before.window.min(pipe + mss * INITIAL_SEGMENTS);
        self.window = self.window.max(some);
    }

    /// Nothing was acknowledged in time.
    pub(crate) fn on_timeout(&mut self, in_flight: usize, mss: usize) {
        self.on_loss(in_flight, mss);
        self.window = mss;
    }

    /// Nothing was sent for longer than the time-out (RFC 5681 section 4.1).
    pub(crate) fn on_idle(&mut self, mss: usize) {
        self.window = self.window.min(mss * INITIAL_SEGMENTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_doubles_until_a_loss_and_then_creeps() {
        let mss = 1_000;
        let mut congestion = Congestion::new(mss);
        let first = congestion.window();
        congestion.on_ack(first, first, mss);
        assert_eq!(congestion.window(), 2 * first);
        congestion.on_loss(2 * first, mss);
        let reduced = congestion.window();
        assert!(reduced < 2 * first);
        congestion.on_ack(reduced, reduced, mss);
        assert_eq!(congestion.window(), reduced + mss);
        congestion.on_timeout(reduced, mss);
        assert_eq!(congestion.window(), mss);
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut congestion = Congestion::new(1_000);
        let first = congestion.window();
        congestion.on_ack(1_000, 1_000, 1_000);
        assert_eq!(congestion.window(), first);
    }
}
