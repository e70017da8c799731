//! What the world's resolvers were asked, by whom and how.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// How a query travelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// Readable by everybody on the way.
    Plain,
    /// DNS over HTTPS.
    Https,
}

/// One query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The name asked for, lower case, without the final dot.
    pub name: String,
    /// Who asked, as the resolver saw it.
    pub from: IpAddr,
    /// The resolver that was asked.
    pub resolver: IpAddr,
    /// How it came.
    pub carriage: Carriage,
}

/// Remembered queries; the oldest are forgotten.
const KEPT: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Log {
    queries: Mutex<Vec<Query>>,
}

impl Log {
    pub(super) fn add(&self, query: Query) {
        let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
        if queries.len() == KEPT {
            queries.drain(..KEPT / 2);
        }
        queries.push(query);
    }

    pub(super) fn list(&self) -> Vec<Query> {
        self.queries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
