//! Lookups under way and the clients that wait for them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

use crate::wire::{Asker, Key};

/// Names a lookup under way; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub(crate) u64);

/// A client that waits for a lookup.
#[derive(Debug)]
pub(crate) struct Waiter<C> {
    pub(crate) client: C,
    pub(crate) asker: Asker,
    pub(crate) since: Instant,
}

/// One lookup, however many clients asked for it.
#[derive(Debug)]
pub(crate) struct Exchange<C> {
    pub(crate) key: Key,
    pub(crate) waiters: Vec<Waiter<C>>,
}

/// All lookups under way.
#[derive(Debug)]
pub(crate) struct Exchanges<C> {
    live: BTreeMap<ExchangeId, Exchange<C>>,
    by_key: HashMap<Key, ExchangeId>,
    next: u64,
    waiters: usize,
}

/// Points in time in ascending order, each for a lookup that may be gone by then.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    entries: VecDeque<(Instant, ExchangeId)>,
}

impl<C> Exchanges<C> {
    pub(crate) fn new() -> Self {
        Self {
            live: BTreeMap::new(),
            by_key: HashMap::new(),
            next: 0,
            waiters: 0,
        }
    }

    /// The number of lookups under way.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// The number of clients that wait.
    pub(crate) fn waiters(&self) -> usize {
        self.waiters
    }

    /// The lookup of a key, if one is under way.
    pub(crate) fn find(&self, key: &Key) -> Option<ExchangeId> {
        self.by_key.get(key).copied()
    }

    /// Whether a lookup is still under way.
    pub(crate) fn is_live(&self, id: ExchangeId) -> bool {
        self.live.contains_key(&id)
    }

    /// Begins a lookup nobody waits for yet.
    pub(crate) fn start(&mut self, key: Key) -> ExchangeId {
        let id = ExchangeId(self.next);
        self.next += 1;
        self.by_key.insert(key.clone(), id);
        let waiters = Vec::new();
        self.live.insert(id, Exchange { key, waiters });
        id
    }

    /// Lets a client wait for a lookup.
    pub(crate) fn join(&mut self, id: ExchangeId, waiter: Waiter<C>) {
        if let Some(exchange) = self.live.get_mut(&id) {
            exchange.waiters.push(waiter);
            self.waiters += 1;
        }
    }

    /// The key of a lookup.
    pub(crate) fn key(&self, id: ExchangeId) -> Option<&Key> {
        self.live.get(&id).map(|exchange| &exchange.key)
    }

    /// Takes those clients out that began to wait at `since` or earlier.
    pub(crate) fn take_waiters(
        &mut self,
        id: ExchangeId,
        since: Option<Instant>,
    ) -> Vec<Waiter<C>> {
        let Some(exchange) = self.live.get_mut(&id) else {
            return Vec::new();
        };
        let waiters = std::mem::take(&mut exchange.waiters);
        let (taken, left) = waiters
            .into_iter()
            .partition(|waiter| since.is_none_or(|since| waiter.since <= since));
        exchange.waiters = left;
        let taken: Vec<_> = taken;
        self.waiters -= taken.len();
        taken
    }

    /// Whether nobody waits for a lookup any more.
    pub(crate) fn is_idle(&self, id: ExchangeId) -> bool {
        self.live
            .get(&id)
            .is_none_or(|exchange| exchange.waiters.is_empty())
    }

    /// Ends a lookup.
    pub(crate) fn finish(&mut self, id: ExchangeId) -> Option<Exchange<C>> {
        let exchange = self.live.remove(&id)?;
        self.by_key.remove(&exchange.key);
        self.waiters -= exchange.waiters.len();
        Some(exchange)
    }

    /// Every lookup under way, oldest first.
    pub(crate) fn ids(&self) -> Vec<ExchangeId> {
        self.live.keys().copied().collect()
    }
}

impl Agenda {
    /// Adds an entry; entries come in ascending order of time, give or take the
    /// variation of a round trip time, which then is waited in addition.
    pub(crate) fn add(&mut self, at: Instant, id: ExchangeId) {
        self.entries.push_back((at, id));
    }

    /// The next entry that is still alive; those before it are dropped.
    pub(crate) fn next_at(&mut self, is_live: impl Fn(ExchangeId) -> bool) -> Option<Instant> {
        while let Some((at, id)) = self.entries.front().copied() {
            if is_live(id) {
                return Some(at);
            }
            self.entries.pop_front();
        }
        None
    }

    /// Takes the next entry that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<ExchangeId> {
        let (_, id) = self.entries.pop_front_if(|(at, _)| *at <= now)?;
        Some(id)
    }
}
