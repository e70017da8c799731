//! One connection to an upstream, as far as the resolver sees it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::exchange::ExchangeId;

/// Answers to PING without an answer to a query double the patience this often at most.
const MOST_PATIENCE: u32 = 4;

/// Names a connection; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub(crate) u64);

/// A connection that is being made or used.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) ready: bool,
    /// An answer is late; until a byte arrives the connection may be dead.
    pub(crate) suspect: bool,
    pub(crate) outstanding: BTreeMap<ExchangeId, Instant>,
    dialed: Instant,
    last_byte: Instant,
    patience: u32,
}

impl Link {
    /// A connection whose dial begins now.
    pub(crate) fn dialing(id: LinkId, now: Instant) -> Self {
        Self {
            id,
            ready: false,
            suspect: false,
            outstanding: BTreeMap::new(),
            dialed: now,
            last_byte: now,
            patience: 0,
        }
    }

    /// Whether new queries may go here.
    pub(crate) fn serves(&self) -> bool {
        self.ready && !self.suspect
    }

    /// Since when the connection is being made.
    pub(crate) fn dialed(&self) -> Instant {
        self.dialed
    }

    /// The connection stands.
    pub(crate) fn stands(&mut self, now: Instant) {
        self.ready = true;
        self.last_byte = now;
    }

    /// A query was answered; returns when it was sent.
    pub(crate) fn answered(&mut self, exchange: ExchangeId, now: Instant) -> Option<Instant> {
        self.last_byte = now;
        self.suspect = false;
        self.patience = 0;
        self.outstanding.remove(&exchange)
    }

    /// A PING was answered: the connection lives, the upstream is slow.
    pub(crate) fn pong(&mut self, now: Instant) {
        self.last_byte = now;
        self.suspect = false;
        self.patience = (self.patience + 1).min(MOST_PATIENCE);
    }

    /// When the oldest query counts as late, and the connection as suspect.
    pub(crate) fn late_at(&self, timeout: Duration) -> Option<Instant> {
        if !self.serves() {
            return None;
        }
        let (_, sent) = self.outstanding.first_key_value()?;
        Some(self.last_byte.max(*sent) + timeout * (1 << self.patience))
    }
}
