//! What all resolvers of the world have in common: one zone and one log.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::dns::{self, Zone};
use super::queries::{Carriage, Log, Query};
use crate::addresses::{local_zone, zone};

/// Answers from the world's names and remembers what was asked.
#[derive(Debug)]
pub(super) struct Resolver {
    zone: Zone,
    log: Arc<Log>,
}

impl Resolver {
    pub(super) fn new(log: Arc<Log>) -> Rc<Self> {
        let zone = Zone::new(&zone());
        Rc::new(Self { zone, log })
    }

    /// One that knows the names of the LAN as well.
    pub(super) fn of_lan(log: Arc<Log>) -> Rc<Self> {
        let zone = Zone::new(&[zone(), local_zone()].concat());
        Rc::new(Self { zone, log })
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
        let answer = self.zone.answer(query, &question);
        self.log.add(Query {
            name: question.name,
            from,
            resolver,
            carriage,
        });
        Some(answer)
    }
}
