//! The resolver: queries in, answers and actions out.

mod local;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use vpnm_wire::Domain;

use crate::cache::{Cache, Freshness};
use crate::exchange::{Agenda, ExchangeId, Exchanges, Waiter};
use crate::fleet::{Action, Fleet, Retry};
use crate::link::LinkId;
use crate::resolver::local::Local;
use crate::reverse::ReverseMap;
use crate::special::{Special, special};
use crate::wire::{
    Asker, InfoCode, Key, Lifetime, Query, Rcode, Reply, Response, Unfit, domain_of, encode_query,
    render,
};

pub use local::{LocalId, LocalQuery};

/// Clients are told of a failure before their own five seconds are over.
const DEADLINE: Duration = Duration::from_millis(4_500);
/// Stale data goes out when nothing came by then (RFC 8767 section 5).
const STALE_AFTER: Duration = Duration::from_millis(1_800);
/// A connection is kept ready for this long after the last query.
const WARM_FOR: Duration = Duration::from_secs(60);

/// Sizes of a resolver.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Number of upstreams.
    pub upstreams: u8,
    /// Memory for responses, in bytes.
    pub cache_bytes: usize,
    /// Lookups under way at most; more are answered SERVFAIL at once.
    pub lookups: usize,
    /// Clients that may wait at once.
    pub clients: usize,
    /// Addresses whose names are remembered.
    pub addresses: usize,
    /// Seed of the jitter between dials.
    pub seed: u64,
}

/// The way to the upstreams, as the shell knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// A new way stands; connections of an earlier one are void.
    Renewed,
    /// Something went wrong on the way: connections have to prove themselves.
    Suspect,
    /// The way is known not to work at present.
    Down,
    /// There is no way.
    Absent,
}

/// How a client is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// By datagrams: long answers are cut, with the TC flag.
    Datagram,
    /// By a stream: answers of any length.
    Stream,
}

/// A message for a client.
#[derive(Debug)]
pub struct Answer<C> {
    /// The client, as given with its query.
    pub client: C,
    /// The message.
    pub message: Vec<u8>,
}

/// Why the resolver wants to be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A client's time is over.
    Deadline,
    /// A client is better served with stale data.
    Stale,
    /// An answer is late: its connection becomes suspect.
    Late,
    /// A second upstream may be asked.
    Hedge,
    /// A connection may be dialled.
    Dial,
}

/// What happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Messages of clients.
    pub queries: u64,
    /// Answered from fresh data.
    pub hits: u64,
    /// Answered with stale data.
    pub stale: u64,
    /// Joined a lookup that was under way.
    pub joined: u64,
    /// Lookups begun.
    pub lookups: u64,
    /// Answered SERVFAIL by this resolver.
    pub failures: u64,
    /// Connections dialled.
    pub dials: u64,
    /// Queries also sent to a second upstream.
    pub hedges: u64,
    /// Responses kept.
    pub cached: usize,
    /// Memory of the responses kept, in bytes.
    pub cached_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    Down,
    Absent,
}

/// The resolver; `C` is whatever the shell needs to reach a client.
#[derive(Debug)]
pub struct Resolver<C> {
    config: Config,
    state: State,
    /// A connection is wanted although nothing was asked yet.
    prewarm: bool,
    last_query: Option<Instant>,
    cache: Cache,
    reverse: ReverseMap,
    exchanges: Exchanges<C>,
    fleet: Fleet,
    local: Local<C>,
    deadlines: Agenda,
    stale_checks: Agenda,
    answers: VecDeque<Answer<C>>,
    statistics: Statistics,
}

impl<C> Resolver<C> {
    /// A resolver without a way to its upstreams; see [`Self::handle_path`].
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Absent,
            prewarm: false,
            last_query: None,
            cache: Cache::new(config.cache_bytes),
            reverse: ReverseMap::new(config.addresses),
            exchanges: Exchanges::new(),
            fleet: Fleet::new(config.upstreams, config.seed),
            local: Local::new(),
            deadlines: Agenda::default(),
            stale_checks: Agenda::default(),
            answers: VecDeque::new(),
            statistics: Statistics::default(),
        }
    }

    /// Takes a client's message; the answer comes now or later, or never when it is no query.
    pub fn handle_query(&mut self, client: C, message: &[u8], carriage: Carriage, now: Instant) {
        self.statistics.queries += 1;
        let stream = carriage == Carriage::Stream;
        match Query::decode(message) {
            Ok(query) => {
                let asker = Asker::of(&query, stream);
                let waiter = Waiter {
                    client,
                    asker,
                    since: now,
                };
                self.answer_or_ask(waiter, query.key(), now);
            }
            Err(unfit) => self.reject(client, message, stream, unfit),
        }
        self.drive(now);
    }

    /// A connection stands.
    pub fn handle_link_up(&mut self, link: LinkId, now: Instant) {
        if self.fleet.link_up(link, now) {
            self.prewarm = false;
            self.cache.forget_failures(now);
            if self.state == State::Down {
                self.state = State::Up;
            }
        }
        self.drive(now);
    }

    /// A connection could not be made, or broke.
    pub fn handle_link_failed(&mut self, link: LinkId, now: Instant) {
        self.fleet.link_failed(link, now);
        self.drive(now);
    }

    /// A PING was answered.
    pub fn handle_pong(&mut self, link: LinkId, now: Instant) {
        self.fleet.pong(link, now);
        self.drive(now);
    }

    /// An upstream answered a query.
    pub fn handle_response(&mut self, link: LinkId, id: ExchangeId, message: &[u8], now: Instant) {
        let Some(key) = self.exchanges.key(id).cloned() else {
            self.fleet.answered(link, id, now);
            return self.drive(now);
        };
        match Response::decode(message, &key) {
            Ok(response) => {
                self.fleet.answered(link, id, now);
                self.fleet.forget(id);
                self.complete(id, &key, response, now);
                self.drive(now);
            }
            Err(_) => self.handle_stream_failed(link, id, now),
        }
    }

    /// A query failed on a connection that lives: its upstream would not answer.
    pub fn handle_stream_failed(&mut self, link: LinkId, id: ExchangeId, now: Instant) {
        if self.fleet.stream_failed(link, id, now) == Retry::Exhausted {
            self.fleet.forget(id);
            self.give_up(id, None, InfoCode::NetworkError, now);
            self.exchanges.finish(id);
        }
        self.drive(now);
    }

    /// The way to the upstreams changed.
    pub fn handle_path(&mut self, path: Path, now: Instant) {
        match path {
            Path::Renewed => {
                self.state = State::Up;
                self.prewarm = true;
                self.cache.forget_failures(now);
                self.fleet.renew();
            }
            Path::Suspect => self.fleet.suspect_all(),
            Path::Down => self.lose(State::Down, now),
            Path::Absent => {
                self.lose(State::Absent, now);
                self.fleet.renew();
            }
        }
        self.drive(now);
    }

    /// Stops asking: clients get what is known, or a failure.
    fn lose(&mut self, state: State, now: Instant) {
        self.state = state;
        for id in self.exchanges.ids() {
            let is_stale = self.is_stale(id, now);
            if is_stale || state == State::Absent {
                self.give_up(id, None, InfoCode::NetworkError, now);
                self.fleet.forget(id);
                self.exchanges.finish(id);
            }
        }
    }

    /// The next message for a client.
    pub fn poll_answer(&mut self) -> Option<Answer<C>> {
        self.answers.pop_front()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.fleet.poll_action()
    }

    /// When to call [`Self::handle_timeout`], and why.
    pub fn poll_timeout(&mut self) -> Option<(Instant, Wake)> {
        let exchanges = &self.exchanges;
        let deadline = self.deadlines.next_at(|id| exchanges.is_live(id));
        let stale = self.stale_checks.next_at(|id| exchanges.is_live(id));
        let warm = self.prewarm || self.state == State::Down;
        let dial = self
            .fleet
            .dial_at(warm)
            .filter(|_| self.state != State::Absent);
        [
            (deadline, Wake::Deadline),
            (stale, Wake::Stale),
            (self.fleet.late_at(), Wake::Late),
            (self.fleet.hedge_at(), Wake::Hedge),
            (dial, Wake::Dial),
        ]
        .into_iter()
        .filter_map(|(at, wake)| Some((at?, wake)))
        .min_by_key(|(at, _)| *at)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.stale_checks.pop_due(now) {
            if self.is_stale(id, now) {
                self.give_up(id, None, InfoCode::StaleAnswer, now);
            }
        }
        while let Some(id) = self.deadlines.pop_due(now) {
            self.give_up(
                id,
                now.checked_sub(DEADLINE),
                InfoCode::NoReachableAuthority,
                now,
            );
            if self.exchanges.is_idle(id) {
                self.fleet.forget(id);
                self.give_up_for_now(id, now);
            }
        }
        self.fleet.handle_timeout(now);
        self.drive(now);
    }

    /// The name that was last answered with an address.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<&Domain> {
        self.reverse.name(address)
    }

    /// What happened so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let (cached, cached_bytes) = self.cache.size();
        Statistics {
            dials: self.fleet.dials,
            hedges: self.fleet.hedges,
            cached,
            cached_bytes,
            ..self.statistics
        }
    }

    fn drive(&mut self, now: Instant) {
        if self.state == State::Absent {
            return;
        }
        let is_used = self
            .last_query
            .is_some_and(|last| now.saturating_duration_since(last) < WARM_FOR);
        let warm = self.prewarm || self.state == State::Down || is_used;
        self.fleet.drive(warm, now);
    }

    fn push(&mut self, waiter: Waiter<C>, reply: &Reply<'_>) {
        let message = render(&waiter.asker, reply);
        let client = waiter.client;
        self.answers.push_back(Answer { client, message });
    }

    fn fail(&mut self, waiter: Waiter<C>, info: InfoCode) {
        self.statistics.failures += 1;
        self.push(waiter, &Reply::Bare(Rcode::ServFail, Some(info)));
    }

    fn reject(&mut self, client: C, message: &[u8], stream: bool, unfit: Unfit) {
        let reply = match unfit {
            Unfit::Silent => return,
            Unfit::Malformed => Reply::Bare(Rcode::FormErr, None),
            Unfit::Opcode => Reply::Bare(Rcode::NotImp, None),
            Unfit::EdnsVersion => Reply::Bare(Rcode::BadVers, None),
            Unfit::Policy => Reply::Bare(Rcode::Refused, None),
            Unfit::Any => Reply::Minimal,
        };
        if let Some(asker) = Asker::of_unfit(message, stream) {
            let message = render(&asker, &reply);
            self.answers.push_back(Answer { client, message });
        }
    }

    fn answer_or_ask(&mut self, waiter: Waiter<C>, key: Key, now: Instant) {
        if self.local.lists(&key) {
            return self.answer_locally(waiter, key, now);
        }
        if let Some(special) = special(key.name(), key.kind()) {
            let reply = match special {
                Special::NoName { zone } => Reply::NoName { zone, info: None },
                Special::Local { zone } => match self.local.is_asked() {
                    Ok(()) => return self.answer_locally(waiter, key, now),
                    Err(why) => Reply::NoName {
                        zone,
                        info: Some(why),
                    },
                },
                Special::Address(address) => Reply::Address(address),
                Special::NoData => Reply::NoData,
            };
            return self.push(waiter, &reply);
        }
        self.last_query = Some(now);
        let is_up = self.state == State::Up;
        let Some(found) = self.cache.find(&key, now) else {
            return match is_up {
                true => self.ask(Some(waiter), key, now),
                false => self.fail(waiter, InfoCode::NetworkError),
            };
        };
        let (info, refresh) = match found.state {
            Freshness::Fresh { refresh } => {
                self.statistics.hits += 1;
                (None, refresh)
            }
            Freshness::Failed => (Some(InfoCode::CachedError), false),
            Freshness::Stale { first } if first || !is_up => {
                self.statistics.stale += 1;
                (Some(InfoCode::StaleAnswer), true)
            }
            Freshness::Stale { .. } => return self.ask(Some(waiter), key, now),
        };
        let (response, age) = (found.response, found.age);
        let message = render(
            &waiter.asker,
            &Reply::Kept {
                response,
                age,
                info,
            },
        );
        let client = waiter.client;
        self.answers.push_back(Answer { client, message });
        if refresh && is_up && self.exchanges.find(&key).is_none() {
            self.ask(None, key, now);
        }
    }

    /// Joins the lookup of a key, or begins it.
    fn ask(&mut self, waiter: Option<Waiter<C>>, key: Key, now: Instant) {
        let known = self.exchanges.find(&key);
        let is_full = self.exchanges.waiters() >= self.config.clients
            || known.is_none() && self.exchanges.len() >= self.config.lookups;
        if is_full {
            if let Some(waiter) = waiter {
                self.fail(waiter, InfoCode::NoReachableAuthority);
            }
            return;
        }
        let id = match known {
            Some(id) => {
                self.statistics.joined += 1;
                id
            }
            None => {
                self.statistics.lookups += 1;
                let message = encode_query(&key);
                let id = self.exchanges.start(key);
                self.fleet.start(id, message, now);
                id
            }
        };
        if let Some(waiter) = waiter {
            self.exchanges.join(id, waiter);
        }
        self.stale_checks.add(now + STALE_AFTER, id);
        self.deadlines.add(now + DEADLINE, id);
    }

    fn is_stale(&mut self, id: ExchangeId, now: Instant) -> bool {
        let Some(key) = self.exchanges.key(id) else {
            return false;
        };
        let found = self.cache.find(key, now);
        found.is_some_and(|found| matches!(found.state, Freshness::Stale { .. }))
    }

    /// Answers waiting clients with what is at hand: stale data, or a failure.
    fn give_up(&mut self, id: ExchangeId, since: Option<Instant>, why: InfoCode, now: Instant) {
        let Some(key) = self.exchanges.key(id).cloned() else {
            return;
        };
        let waiters = self.exchanges.take_waiters(id, since);
        self.cache.prefer_stale(&key, now);
        for waiter in waiters {
            match self.cache.find(&key, now) {
                Some(found) if found.state != Freshness::Failed => {
                    self.statistics.stale += 1;
                    let reply = Reply::Kept {
                        response: found.response,
                        age: found.age,
                        info: Some(InfoCode::StaleAnswer),
                    };
                    let message = render(&waiter.asker, &reply);
                    let client = waiter.client;
                    self.answers.push_back(Answer { client, message });
                }
                _ => self.fail(waiter, why),
            }
        }
    }

    /// Ends a lookup that took as long as clients wait. They try again at once, and
    /// their next server is this one too: they need not wait for that as well.
    fn give_up_for_now(&mut self, id: ExchangeId, now: Instant) {
        let exchange = self.exchanges.finish(id);
        let failed = exchange.and_then(|exchange| {
            let response = Response::unanswered(&exchange.key).ok()?;
            Some((exchange.key, response))
        });
        if let Some((key, response)) = failed {
            self.cache.store(&key, response, now);
        }
    }

    /// Hands a response to all who wait for it and keeps it.
    fn complete(&mut self, id: ExchangeId, key: &Key, response: Response, now: Instant) {
        if matches!(response.lifetime(), Lifetime::Failed(_)) && self.is_stale(id, now) {
            self.give_up(id, None, InfoCode::StaleAnswer, now);
        }
        let Some(exchange) = self.exchanges.finish(id) else {
            return;
        };
        if let Some(name) = domain_of(response.name()) {
            for address in response.addresses() {
                self.reverse.observe(address, &name);
            }
        }
        for waiter in exchange.waiters {
            let reply = Reply::Kept {
                response: &response,
                age: Duration::ZERO,
                info: None,
            };
            self.push(waiter, &reply);
        }
        self.cache.store(key, response, now);
    }
}
