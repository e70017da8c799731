//! The upstreams together: which connection carries a query, when it counts as
//! dead, what is sent again and what is raced against it.
//!
//! Behind a user-space TCP every byte is acknowledged, so no timer of TCP ever
//! sees a dead path. The first late answer is the signal: the connection is
//! pinged and a new one dialled at once; whichever lives carries on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use crate::exchange::{Agenda, ExchangeId};
use crate::link::LinkId;
use crate::upstream::{Upstream, UpstreamId};

/// Extra queries because of slow answers: one per so many ordinary ones.
const QUERIES_PER_HEDGE: u32 = 20;
/// Hedges that may be saved up.
const MOST_HEDGES: u32 = 10;

/// What the shell has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make a connection to an upstream and report it up or failed.
    Dial {
        /// The new connection's name.
        link: LinkId,
        /// Where it leads.
        upstream: UpstreamId,
    },
    /// Send a query on a connection that is up.
    Send {
        /// The connection.
        link: LinkId,
        /// The lookup the answer belongs to.
        exchange: ExchangeId,
        /// The message.
        message: Bytes,
    },
    /// Nobody waits for this answer any more.
    Cancel {
        /// The connection.
        link: LinkId,
        /// The lookup.
        exchange: ExchangeId,
    },
    /// Ask the peer for a sign of life and report the pong.
    Ping {
        /// The connection.
        link: LinkId,
    },
    /// Drop the connection, or the attempt to make it.
    Close {
        /// The connection.
        link: LinkId,
    },
}

/// Whether a query that failed on one connection is still on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    UnderWay,
    Exhausted,
}

/// A query on its way.
#[derive(Debug)]
struct Flight {
    message: Bytes,
    /// Upstreams that failed to answer it.
    failed_by: Vec<UpstreamId>,
    hedged: bool,
}

/// The upstreams, their connections and the queries on them.
#[derive(Debug)]
pub(crate) struct Fleet {
    upstreams: Vec<Upstream>,
    flights: BTreeMap<ExchangeId, Flight>,
    late: Agenda,
    actions: VecDeque<Action>,
    next_link: u64,
    hedge_credit: u32,
    seed: u64,
    pub(crate) dials: u64,
    pub(crate) hedges: u64,
}

impl Fleet {
    pub(crate) fn new(upstreams: u8, seed: u64) -> Self {
        Self {
            upstreams: (0..upstreams)
                .map(|n| Upstream::new(UpstreamId(n)))
                .collect(),
            flights: BTreeMap::new(),
            late: Agenda::default(),
            actions: VecDeque::new(),
            next_link: 0,
            hedge_credit: QUERIES_PER_HEDGE * MOST_HEDGES / 2,
            seed: seed | 1,
            dials: 0,
            hedges: 0,
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Puts a query on its way.
    pub(crate) fn start(&mut self, id: ExchangeId, message: Bytes, now: Instant) {
        let flight = Flight {
            message,
            failed_by: Vec::new(),
            hedged: false,
        };
        self.flights.insert(id, flight);
        let most = QUERIES_PER_HEDGE * MOST_HEDGES;
        self.hedge_credit = (self.hedge_credit + 1).min(most);
        if let Some(at) = self.preferred(&[]) {
            let timeout = self.upstreams.get(at).map(|u| u.trip.timeout());
            self.late.add(now + timeout.unwrap_or_default(), id);
            self.assign(id, at, now);
        }
    }

    /// A query is answered or given up.
    pub(crate) fn forget(&mut self, id: ExchangeId) {
        self.flights.remove(&id);
        for upstream in &mut self.upstreams {
            upstream.waiting.remove(&id);
            for link in &mut upstream.links {
                if link.outstanding.remove(&id).is_some() {
                    let (link, exchange) = (link.id, id);
                    self.actions.push_back(Action::Cancel { link, exchange });
                }
            }
        }
    }

    /// The upstream a query goes to first: one with a connection, then the most
    /// reliable, then the fastest.
    fn preferred(&self, except: &[UpstreamId]) -> Option<usize> {
        let candidates = self.upstreams.iter().enumerate();
        candidates
            .filter(|(_, upstream)| !except.contains(&upstream.id))
            .min_by_key(|(_, u)| (!u.serves(), u.failures, u.trip.smoothed()))
            .map(|(at, _)| at)
    }

    /// Sends a query by an upstream's connection, or with its next one.
    fn assign(&mut self, id: ExchangeId, at: usize, now: Instant) {
        let (Some(upstream), Some(flight)) = (self.upstreams.get_mut(at), self.flights.get(&id))
        else {
            return;
        };
        match upstream.serving() {
            Some(link) => {
                link.outstanding.insert(id, now);
                self.actions.push_back(Action::Send {
                    link: link.id,
                    exchange: id,
                    message: flight.message.clone(),
                });
            }
            None => {
                upstream.waiting.insert(id);
            }
        }
    }

    /// The place of the upstream a connection belongs to.
    fn owner(&self, link: LinkId) -> Option<usize> {
        let owns = |upstream: &Upstream| upstream.links.iter().any(|l| l.id == link);
        self.upstreams.iter().position(owns)
    }

    /// A connection stands; returns false when it is not wanted any more.
    pub(crate) fn link_up(&mut self, id: LinkId, now: Instant) -> bool {
        let Some(at) = self.owner(id) else {
            return false;
        };
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return false;
        };
        upstream.failures = 0;
        if upstream.serves() {
            self.close(id);
            return false;
        }
        if let Some(link) = upstream.link(id) {
            link.stands(now);
        }
        let losers: Vec<_> = upstream
            .links
            .iter()
            .filter(|l| !l.ready)
            .map(|l| l.id)
            .collect();
        let mut stuck = std::mem::take(&mut upstream.waiting);
        for link in upstream.links.iter().filter(|link| link.suspect) {
            stuck.extend(link.outstanding.keys());
        }
        for loser in losers {
            self.close(loser);
        }
        for exchange in stuck {
            self.assign(exchange, at, now);
        }
        true
    }

    /// A connection could not be made, or broke.
    pub(crate) fn link_failed(&mut self, id: LinkId, now: Instant) {
        let Some(at) = self.owner(id) else {
            return;
        };
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return;
        };
        let Some(link) = upstream.remove(id) else {
            return;
        };
        let mut stranded: Vec<_> = link.outstanding.into_keys().collect();
        if !link.ready {
            upstream.failures = upstream.failures.saturating_add(1);
            stranded.extend(std::mem::take(&mut upstream.waiting));
        }
        for exchange in stranded {
            if self.is_carried(exchange) {
                continue;
            }
            let failed = self.flights.get(&exchange).map(|f| f.failed_by.clone());
            if let Some(next) = self.preferred(&failed.unwrap_or_default()) {
                self.assign(exchange, next, now);
            }
        }
    }

    /// Whether a query is on some connection that is not suspect.
    fn is_carried(&self, id: ExchangeId) -> bool {
        let mut links = self.upstreams.iter().flat_map(|upstream| &upstream.links);
        links.any(|link| link.serves() && link.outstanding.contains_key(&id))
    }

    /// A query was answered on a connection.
    pub(crate) fn answered(&mut self, id: LinkId, exchange: ExchangeId, now: Instant) {
        let Some(at) = self.owner(id) else {
            return;
        };
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return;
        };
        let sent = upstream
            .link(id)
            .and_then(|link| link.answered(exchange, now));
        upstream.reset_pace();
        if let Some(sent) = sent {
            upstream.trip.observe(now.saturating_duration_since(sent));
        }
        // The race is decided: older connections that are still silent have lost.
        let place = upstream.links.iter().position(|link| link.id == id);
        let older = upstream.links.iter().take(place.unwrap_or(0));
        let losers: Vec<_> = older
            .filter(|link| link.suspect)
            .map(|link| link.id)
            .collect();
        for loser in losers {
            self.close(loser);
        }
        self.flush(at, now);
    }

    /// Sends what waits, now that a connection serves again.
    fn flush(&mut self, at: usize, now: Instant) {
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return;
        };
        if upstream.serves() {
            for exchange in std::mem::take(&mut upstream.waiting) {
                self.assign(exchange, at, now);
            }
        }
    }

    /// A query failed on a connection that itself lives.
    pub(crate) fn stream_failed(
        &mut self,
        id: LinkId,
        exchange: ExchangeId,
        now: Instant,
    ) -> Retry {
        let Some(at) = self.owner(id) else {
            return Retry::UnderWay;
        };
        let Some(upstream) = self.upstreams.get_mut(at) else {
            return Retry::UnderWay;
        };
        let upstream_id = upstream.id;
        if let Some(link) = upstream.link(id) {
            link.answered(exchange, now);
        }
        let Some(flight) = self.flights.get_mut(&exchange) else {
            return Retry::UnderWay;
        };
        flight.failed_by.push(upstream_id);
        let failed_by = flight.failed_by.clone();
        self.flush(at, now);
        if self.is_carried(exchange) {
            return Retry::UnderWay;
        }
        match self.preferred(&failed_by) {
            Some(next) => {
                self.assign(exchange, next, now);
                Retry::UnderWay
            }
            None => Retry::Exhausted,
        }
    }

    /// A PING was answered.
    pub(crate) fn pong(&mut self, id: LinkId, now: Instant) {
        let Some(at) = self.owner(id) else {
            return;
        };
        let upstream = self.upstreams.get_mut(at);
        if let Some(link) = upstream.and_then(|upstream| upstream.link(id)) {
            link.pong(now);
        }
        self.flush(at, now);
    }

    /// Something happened to the path: every connection has to prove itself.
    pub(crate) fn suspect_all(&mut self) {
        for link in self
            .upstreams
            .iter_mut()
            .flat_map(|upstream| &mut upstream.links)
        {
            if link.serves() {
                link.suspect = true;
                self.actions.push_back(Action::Ping { link: link.id });
            }
        }
        for upstream in &mut self.upstreams {
            upstream.reset_pace();
        }
    }

    /// Drops every connection; queries under way go out with new ones.
    pub(crate) fn renew(&mut self) {
        for upstream in &mut self.upstreams {
            for link in upstream.links.drain(..) {
                upstream.waiting.extend(link.outstanding.keys());
                self.actions.push_back(Action::Close { link: link.id });
            }
            upstream.reset_pace();
        }
    }

    fn close(&mut self, id: LinkId) {
        for upstream in &mut self.upstreams {
            if upstream.remove(id).is_some() {
                self.actions.push_back(Action::Close { link: id });
            }
        }
    }

    /// Dials what is needed; `warm` wants a connection even without a query.
    pub(crate) fn drive(&mut self, warm: bool, now: Instant) {
        let favourite = self.preferred(&[]);
        for at in 0..self.upstreams.len() {
            let is_warm = warm && favourite == Some(at);
            let jitter = self.jitter();
            let Some(upstream) = self.upstreams.get_mut(at) else {
                continue;
            };
            let is_needed = upstream.is_starved() || is_warm && !upstream.serves();
            if !is_needed || upstream.may_dial_at().is_some_and(|then| now < then) {
                continue;
            }
            let link = LinkId(self.next_link);
            self.next_link += 1;
            self.dials += 1;
            for lost in upstream.dial(link, now, jitter) {
                self.actions.push_back(Action::Close { link: lost });
            }
            let upstream = upstream.id;
            self.actions.push_back(Action::Dial { link, upstream });
        }
    }

    /// When a dial that is needed may begin.
    pub(crate) fn dial_at(&self, warm: bool) -> Option<Instant> {
        let favourite = self.preferred(&[]);
        let needed = self.upstreams.iter().enumerate().filter(|(at, upstream)| {
            let is_warm = warm && favourite == Some(*at);
            upstream.is_starved() || is_warm && !upstream.serves()
        });
        needed
            .filter_map(|(_, upstream)| upstream.may_dial_at())
            .min()
    }

    /// When the next answer counts as late for its connection.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        let upstreams = self.upstreams.iter();
        upstreams.filter_map(late_at).min()
    }

    /// When the next query may be asked of a second upstream.
    pub(crate) fn hedge_at(&mut self) -> Option<Instant> {
        if self.upstreams.len() < 2 {
            return None;
        }
        let flights = &self.flights;
        self.late
            .next_at(|id| flights.get(&id).is_some_and(|flight| !flight.hedged))
    }

    /// Judges what is late by now.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        for upstream in &mut self.upstreams {
            let timeout = upstream.trip.timeout();
            for link in &mut upstream.links {
                if link.late_at(timeout).is_some_and(|at| at <= now) {
                    link.suspect = true;
                    self.actions.push_back(Action::Ping { link: link.id });
                }
            }
        }
        while let Some(id) = self.late.pop_due(now) {
            self.hedge(id, now);
        }
    }

    /// Asks a second upstream, if the budget allows.
    fn hedge(&mut self, id: ExchangeId, now: Instant) {
        let Some(flight) = self.flights.get_mut(&id) else {
            return;
        };
        if flight.hedged || self.hedge_credit < QUERIES_PER_HEDGE {
            return;
        }
        let mut except = flight.failed_by.clone();
        except.extend(self.upstreams.iter().filter(|u| has(u, id)).map(|u| u.id));
        if let Some(next) = self.preferred(&except) {
            if let Some(flight) = self.flights.get_mut(&id) {
                flight.hedged = true;
            }
            self.hedge_credit -= QUERIES_PER_HEDGE;
            self.hedges += 1;
            self.assign(id, next, now);
        }
    }

    /// A factor between 0.75 and 1.25, so that clients do not dial in step.
    fn jitter(&mut self) -> f64 {
        // xorshift64 (Marsaglia 2003): no secret depends on it.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let [a, b, ..] = self.seed.to_be_bytes();
        0.75 + f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX) / 2.0
    }
}

/// When the first of an upstream's connections is late.
fn late_at(upstream: &Upstream) -> Option<Instant> {
    let timeout = upstream.trip.timeout();
    let links = upstream.links.iter();
    links.filter_map(|link| link.late_at(timeout)).min()
}

/// Whether a query is with an upstream already.
fn has(upstream: &Upstream, id: ExchangeId) -> bool {
    let on_link = upstream
        .links
        .iter()
        .any(|link| link.outstanding.contains_key(&id));
    on_link || upstream.waiting.contains(&id)
}
