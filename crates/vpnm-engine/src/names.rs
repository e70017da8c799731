//! The resolver at work: connections, queries and time for [`vpnm_dns::Resolver`].

mod client;
mod link;
mod listen;
mod local;
mod stream;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;
use vpnm_dns::{Action, Carriage, Config, LinkId, Path, Resolver, Statistics};
use vpnm_wire::Domain;

pub use client::Client;
pub use listen::{ListenError, Listeners};

use crate::doh::Endpoint;
use crate::exit::Exit;
use crate::monitor::Monitor;
use link::Link;

/// Memory for responses, in bytes.
const CACHE_BYTES: usize = 16 << 20;
/// Lookups under way at most.
const LOOKUPS: usize = 4_096;
/// Clients that may wait at once.
const CLIENTS: usize = 16_384;
/// Addresses whose names are remembered.
const ADDRESSES: usize = 32_768;

/// The resolver of one engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Names(Rc<Shell>);

#[derive(Debug)]
struct Shell {
    state: RefCell<State>,
    endpoints: Rc<[Endpoint]>,
    exit: Rc<Exit>,
    monitor: Rc<Monitor>,
    /// Wakes the timer's task when it sleeps too long.
    alarm: Notify,
    wakes_at: Cell<Option<Instant>>,
}

#[derive(Debug)]
struct State {
    resolver: Resolver<Client>,
    links: HashMap<LinkId, Link>,
    /// Dials so far: each tries the upstream's next address.
    dials: usize,
    /// Whom the local network's names are asked of.
    local_servers: Rc<[IpAddr]>,
}

impl Names {
    /// A resolver that asks these upstreams through the exit; to be [`run`](Self::run).
    ///
    /// `seed` is any number no other machine is likely to have.
    #[must_use]
    pub fn new(endpoints: Rc<[Endpoint]>, exit: Rc<Exit>, monitor: Rc<Monitor>, seed: u64) -> Self {
        let resolver = Resolver::new(Config {
            upstreams: u8::try_from(endpoints.len()).unwrap_or(u8::MAX),
            cache_bytes: CACHE_BYTES,
            lookups: LOOKUPS,
            clients: CLIENTS,
            addresses: ADDRESSES,
            seed,
        });
        Self(Rc::new(Shell {
            state: RefCell::new(State {
                resolver,
                links: HashMap::new(),
                dials: 0,
                local_servers: Rc::default(),
            }),
            endpoints,
            exit,
            monitor,
            alarm: Notify::new(),
            wakes_at: Cell::new(None),
        }))
    }

    /// Keeps the resolver's time; never ends.
    pub async fn run(&self) {
        loop {
            let next = self.next_wake();
            self.0.wakes_at.set(next);
            match next {
                None => self.0.alarm.notified().await,
                Some(at) => tokio::select! {
                    () = self.0.alarm.notified() => {}
                    () = tokio::time::sleep_until(at.into()) => self.on_time(),
                },
            }
        }
    }

    /// Takes a client's message.
    pub fn ask(&self, client: Client, message: &[u8], carriage: Carriage) {
        self.act(|resolver, now| resolver.handle_query(client, message, carriage, now));
    }

    /// The way out changed.
    pub fn on_path(&self, path: Path) {
        self.act(|resolver, now| resolver.handle_path(path, now));
    }

    /// The name that was last answered with an address.
    #[must_use]
    pub fn name_of(&self, address: IpAddr) -> Option<Domain> {
        self.0.state.borrow().resolver.name_of(address).cloned()
    }

    /// What happened so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.0.state.borrow().resolver.statistics()
    }

    fn on_time(&self) {
        let failures = |names: &Self| names.statistics().failures;
        let before = failures(self);
        self.act(Resolver::handle_timeout);
        if failures(self) > before {
            self.0.monitor.doubt();
        }
    }

    /// Lets the core work, then does what it wants.
    fn act(&self, work: impl FnOnce(&mut Resolver<Client>, Instant)) {
        let now = Instant::now();
        work(&mut self.0.state.borrow_mut().resolver, now);
        // One at a time: nothing is borrowed while a client or a connection is served.
        loop {
            let answer = self.0.state.borrow_mut().resolver.poll_answer();
            let Some(answer) = answer else { break };
            answer.client.deliver(&answer.message);
        }
        loop {
            let action = self.0.state.borrow_mut().resolver.poll_action();
            let Some(action) = action else { break };
            self.perform(action);
        }
        loop {
            let query = self.0.state.borrow_mut().resolver.poll_local_query();
            let Some(query) = query else { break };
            self.look_up_locally(query);
        }
        self.set_alarm();
    }

    fn perform(&self, action: Action) {
        let mut state = self.0.state.borrow_mut();
        match action {
            Action::Dial { link, upstream } => {
                let Some(endpoint) = self.0.endpoints.get(usize::from(upstream.0)) else {
                    return;
                };
                let attempt = state.dials;
                state.dials = attempt.wrapping_add(1);
                let made = Link::dial(self, link, endpoint.clone(), attempt);
                state.links.insert(link, made);
            }
            Action::Send {
                link,
                exchange,
                message,
            } => {
                if let Some(link) = state.links.get_mut(&link) {
                    link.send(self, exchange, message);
                }
            }
            Action::Cancel { link, exchange } => {
                if let Some(link) = state.links.get_mut(&link) {
                    link.cancel(exchange);
                }
            }
            Action::Ping { link } => {
                if let Some(link) = state.links.get(&link) {
                    link.ping();
                }
            }
            Action::Close { link } => drop(state.links.remove(&link)),
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let wake = self.0.state.borrow_mut().resolver.poll_timeout();
        wake.map(|(at, _)| at)
    }

    /// Wakes the timer's task if it sleeps longer than the core wants.
    fn set_alarm(&self) {
        let is_earlier = match (self.next_wake(), self.0.wakes_at.get()) {
            (Some(next), Some(known)) => next < known,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if is_earlier {
            self.0.alarm.notify_one();
        }
    }
}
