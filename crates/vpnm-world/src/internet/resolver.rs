//! What all resolvers of the world have in common: one zone and one log.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use super::dns::{self, Zone};
use super::queries::{Carriage, Log, Query};
use crate::addresses::{local_zone, zone};

/// Names and addresses, which may change while resolvers answer from them.
#[derive(Debug, Clone)]
pub(super) struct Book(Arc<Mutex<Zone>>);

impl Book {
    /// The world's names, as all resolvers of the internet know them.
    pub(super) fn of_internet() -> Self {
        Self::of(&zone())
    }

    /// Those, and the names of the LAN.
    pub(super) fn of_lan() -> Self {
        Self::of(&[zone(), local_zone()].concat())
    }

    fn of(records: &[(&str, Vec<IpAddr>)]) -> Self {
        Self(Arc::new(Mutex::new(Zone::new(records))))
    }

    /// A name has these addresses from now on.
    pub(super) fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.read(|zone| zone.set(name, addresses));
    }

    fn read<T>(&self, work: impl FnOnce(&mut Zone) -> T) -> T {
        // Names stay what they are whoever panicked while reading them.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers from the world's names and remembers what was asked.
#[derive(Debug)]
pub(super) struct Resolver {
    book: Book,
    log: Arc<Log>,
}

impl Resolver {
    pub(super) fn new(book: Book, log: Arc<Log>) -> Rc<Self> {
        Rc::new(Self { book, log })
    }

    /// The answer to a query, unless it is none.
    pub(super) fn answer(
        &self,
        query: &[u8],
        from: IpAddr,
        resolver: IpAddr,
        carriage: Carriage,
    ) -> Option<Vec<u8>> {
        let question = dns::question(query)?;
        let answer = self.book.read(|zone| zone.answer(query, &question));
        self.log.add(Query {
            name: question.name,
            from,
            resolver,
            carriage,
        });
        Some(answer)
    }
}
