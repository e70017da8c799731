//! Whether the proxy reads a request that comes together with the greeting, which saves one of
//! the three round trips before a connection.
//!
//! Not all do: some take whatever a first read yields for the greeting (microsocks 1.0.3), and
//! the request would be lost. So a proxy is asked once, by a request for no command at all:
//! who has read that says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const ASKED: u8 = 1;
const UNREAD: u8 = 2;
const READ: u8 = 3;

/// What came of asking a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It read the request.
    Read,
    /// It did not.
    Unread,
    /// It was not there.
    Absent,
}

/// What is known of a proxy, by all who use it; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead(Arc<AtomicU8>);

impl Ahead {
    /// Whether requests may go with the greeting.
    pub(super) fn is_read(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READ
    }

    /// Whether the proxy should be asked.
    pub(super) fn is_unknown(&self) -> bool {
        self.0.load(Ordering::Relaxed) == UNKNOWN
    }

    /// Whether it is the caller who asks, and nobody else.
    pub(super) fn claim(&self) -> bool {
        let (free, taken) = (UNKNOWN, ASKED);
        let claimed = self
            .0
            .compare_exchange(free, taken, Ordering::Relaxed, Ordering::Relaxed);
        claimed.is_ok()
    }

    /// What came of asking.
    pub(super) fn learn(&self, verdict: Verdict) {
        let known = match verdict {
            Verdict::Read => READ,
            Verdict::Unread => UNREAD,
            Verdict::Absent => UNKNOWN,
        };
        self.0.store(known, Ordering::Relaxed);
    }

    /// Another proxy may have taken the place of the one that was asked.
    pub(super) fn forget(&self) {
        self.learn(Verdict::Absent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_asks() {
        let ahead = Ahead::default();
        let other = ahead.clone();
        assert!(ahead.is_unknown() && ahead.claim() && !other.claim());
        ahead.learn(Verdict::Read);
        assert!(other.is_read() && !other.claim());
        other.forget();
        assert!(ahead.is_unknown() && !ahead.is_read() && ahead.claim());
        ahead.learn(Verdict::Unread);
        assert!(!other.is_unknown() && !other.is_read());
    }
}
