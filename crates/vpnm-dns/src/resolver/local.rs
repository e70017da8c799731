//! Names of the local network: asked of its own resolver, where that is permitted.
//!
//! What it says is kept apart from everything else: in a cache of its own, which ends
//! with the network, and only as far as it concerns names of the local network.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Resolver};
use crate::cache::{Cache, Freshness};
use crate::exchange::{ExchangeId, Exchanges, Waiter};
use crate::locality::Locality;
use crate::wire::{InfoCode, Key, Reply, Response, encode_plain_query, render};

/// Memory for responses, in bytes.
const CACHE_BYTES: usize = 1 << 20;
/// Lookups under way at most.
const LOOKUPS: usize = 256;
/// Clients that may wait at once.
const CLIENTS: usize = 1_024;

/// Names a lookup in the local network; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalId(ExchangeId);

/// A lookup to be made in the local network. The shell asks, tries again and gives up
/// within a client's patience, and tells the end by [`Resolver::handle_local_answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalQuery {
    /// The lookup.
    pub id: LocalId,
    /// The message, of which the first two bytes are to be made unpredictable.
    pub message: Bytes,
}

/// What is known and asked of the local network.
#[derive(Debug)]
pub(super) struct Local<C> {
    locality: Locality,
    cache: Cache,
    exchanges: Exchanges<C>,
    queries: VecDeque<LocalQuery>,
}

impl<C> Local<C> {
    pub(super) fn new() -> Self {
        Self {
            locality: Locality::default(),
            cache: Cache::new(CACHE_BYTES),
            exchanges: Exchanges::new(),
            queries: VecDeque::new(),
        }
    }

    /// Whether the owner listed a name.
    pub(super) fn lists(&self, key: &Key) -> bool {
        self.locality.lists(key.name())
    }

    /// Whether the local network is asked for its names, or why not.
    pub(super) fn is_asked(&self) -> Result<(), InfoCode> {
        match self.locality {
            Locality::Blocked => Err(InfoCode::LocalBlocked),
            Locality::Unknown(_) => Err(InfoCode::NoLocalResolver),
            Locality::Asked(_) => Ok(()),
        }
    }
}

impl<C> Resolver<C> {
    /// Says what is done with names of the local network from now on. What was heard
    /// of it is forgotten: another one may have other names.
    pub fn handle_locality(&mut self, locality: Locality) {
        self.local.locality = locality;
        self.local.cache = Cache::new(CACHE_BYTES);
        self.local.queries.clear();
        for id in self.local.exchanges.ids() {
            self.fail_local(id);
        }
    }

    /// The next lookup to be made in the local network.
    pub fn poll_local_query(&mut self) -> Option<LocalQuery> {
        self.local.queries.pop_front()
    }

    /// The local network's resolver answered a lookup, or none did.
    pub fn handle_local_answer(&mut self, id: LocalId, message: Option<&[u8]>, now: Instant) {
        let LocalId(id) = id;
        let Some(key) = self.local.exchanges.key(id).cloned() else {
            return;
        };
        let locality = &self.local.locality;
        let believed = |name: &[u8]| locality.is_believed_in(name);
        let response =
            message.and_then(|bytes| Response::decode_trusting(bytes, &key, believed).ok());
        let Some(response) = response else {
            return self.fail_local(id);
        };
        let exchange = self.local.exchanges.finish(id);
        for waiter in exchange.into_iter().flat_map(|exchange| exchange.waiters) {
            let reply = Reply::Kept {
                response: &response,
                age: Duration::ZERO,
                info: None,
            };
            self.push(waiter, &reply);
        }
        self.local.cache.store(&key, response, now);
    }

    fn fail_local(&mut self, id: ExchangeId) {
        let exchange = self.local.exchanges.finish(id);
        for waiter in exchange.into_iter().flat_map(|exchange| exchange.waiters) {
            self.fail(waiter, InfoCode::NoReachableAuthority);
        }
    }

    /// Answers from what the local network said, or has it asked.
    pub(super) fn answer_locally(&mut self, waiter: Waiter<C>, key: Key, now: Instant) {
        if let Err(why) = self.local.is_asked() {
            return self.fail(waiter, why);
        }
        if let Some(found) = self.local.cache.find(&key, now)
            && !matches!(found.state, Freshness::Stale { .. })
        {
            let is_failure = found.state == Freshness::Failed;
            let reply = Reply::Kept {
                response: found.response,
                age: found.age,
                info: is_failure.then_some(InfoCode::CachedError),
            };
            let message = render(&waiter.asker, &reply);
            let client = waiter.client;
            self.answers.push_back(Answer { client, message });
            return;
        }
        let exchanges = &mut self.local.exchanges;
        let known = exchanges.find(&key);
        let is_full =
            exchanges.waiters() >= CLIENTS || known.is_none() && exchanges.len() >= LOOKUPS;
        if is_full {
            return self.fail(waiter, InfoCode::NoReachableAuthority);
        }
        let id = known.unwrap_or_else(|| {
            let message = encode_plain_query(&key);
            let id = exchanges.start(key);
            let query = LocalQuery {
                id: LocalId(id),
                message,
            };
            self.local.queries.push_back(query);
            id
        });
        exchanges.join(id, waiter);
    }
}
