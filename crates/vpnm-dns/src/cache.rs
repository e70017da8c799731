//! Responses that are still good, and those that are better than nothing.

use std::time::{Duration, Instant};

use crate::sieve::Sieve;
use crate::wire::{Key, Lifetime, Response};

/// How long past its time a response may still be served (RFC 8767 section 5.1).
const STALE_LIFE: Duration = Duration::from_secs(86_400);
/// After a refresh failed, stale data goes out at once for this long (RFC 8767 section 5).
const STALE_FIRST: Duration = Duration::from_secs(30);
/// What an entry costs besides key and response: queue, index, times.
const OVERHEAD: usize = 128;
/// Uses after which a response is refreshed before its time is over.
const POPULAR: u32 = 2;

/// The responses by lookup.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: Sieve<Key, Entry>,
    /// Failures seen before this count no more.
    failures_since: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    response: Response,
    received: Instant,
    hits: u32,
    stale_first_until: Option<Instant>,
}

/// A response and how it may be used.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) response: &'a Response,
    pub(crate) age: Duration,
    pub(crate) state: Freshness,
}

/// How a kept response may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// As it is; `refresh` asks for a new one in the background.
    Fresh { refresh: bool },
    /// Only when nothing better can be had; `first` when that was seen a moment ago.
    Stale { first: bool },
    /// The upstream failed a moment ago.
    Failed,
}

impl Cache {
    /// An empty cache of `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            entries: Sieve::new(bytes),
            failures_since: None,
        }
    }

    /// Entries and bytes that are kept.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.cost())
    }

    /// The response to a lookup, fresh or stale.
    pub(crate) fn find(&mut self, key: &Key, now: Instant) -> Option<Found<'_>> {
        let entry = self.entries.get_mut(key)?;
        let age = now.saturating_duration_since(entry.received);
        let state = match entry.response.lifetime() {
            Lifetime::Fresh(life) if age < life => {
                entry.hits = entry.hits.saturating_add(1);
                let is_late = life - age <= life / 10;
                let refresh = is_late && entry.hits >= POPULAR;
                Freshness::Fresh { refresh }
            }
            Lifetime::Fresh(life) if age < life + STALE_LIFE => Freshness::Stale {
                first: entry.stale_first_until.is_some_and(|until| now < until),
            },
            Lifetime::Failed(life) if age < life && Some(entry.received) >= self.failures_since => {
                Freshness::Failed
            }
            Lifetime::Once | Lifetime::Fresh(_) | Lifetime::Failed(_) => return None,
        };
        Some(Found {
            response: &entry.response,
            age,
            state,
        })
    }

    /// Notes that a refresh did not come in time.
    pub(crate) fn prefer_stale(&mut self, key: &Key, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.stale_first_until = Some(now + STALE_FIRST);
        }
    }

    /// Keeps a response; a failure never takes the place of data.
    pub(crate) fn store(&mut self, key: &Key, response: Response, now: Instant) {
        match response.lifetime() {
            Lifetime::Once => return,
            Lifetime::Failed(_) if self.has_data(key, now) => {
                self.prefer_stale(key, now);
                return;
            }
            Lifetime::Fresh(_) | Lifetime::Failed(_) => {}
        }
        let cost = key.cost() * 2 + response.cost() + OVERHEAD;
        let entry = Entry {
            response,
            received: now,
            hits: 0,
            stale_first_until: None,
        };
        self.entries.insert(key.clone(), entry, cost);
    }

    /// Forgets failures: on a new path they say nothing.
    pub(crate) fn forget_failures(&mut self, now: Instant) {
        self.failures_since = Some(now);
    }

    fn has_data(&mut self, key: &Key, now: Instant) -> bool {
        self.find(key, now)
            .is_some_and(|found| found.state != Freshness::Failed)
    }
}
