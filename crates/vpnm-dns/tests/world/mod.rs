//! Upstreams, paths and clients on virtual time.
#![allow(
    dead_code,
    clippy::allow_attributes,
    reason = "each test file uses its part of the world"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use vpnm_dns::wire::{Key, kind, question};
use vpnm_dns::{Action, Carriage, Config, ExchangeId, LinkId, Path, Resolver, UpstreamId};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const NOERROR: u8 = 0;
pub(crate) const SERVFAIL: u8 = 2;

/// How one upstream behaves at present.
#[derive(Debug, Clone)]
pub(crate) struct Behaviour {
    /// Time to a connection; `None` never comes to one.
    pub(crate) dial: Option<Duration>,
    /// Whether a dial ends in a failure instead.
    pub(crate) refuses: bool,
    /// Time to an answer; `None` never answers.
    pub(crate) answer: Option<Duration>,
    /// Answers PING after this time; `None` never.
    pub(crate) pong: Option<Duration>,
    /// Breaks the connection instead of answering.
    pub(crate) breaks: bool,
    /// Sends nonsense instead of an answer.
    pub(crate) nonsense: bool,
    /// Response code of its answers.
    pub(crate) rcode: u8,
    /// Time to live of its records.
    pub(crate) ttl: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            dial: Some(60 * MS),
            refuses: false,
            answer: Some(20 * MS),
            pong: Some(20 * MS),
            breaks: false,
            nonsense: false,
            rcode: NOERROR,
            ttl: 300,
        }
    }
}

enum Event {
    Up(LinkId),
    Failed(LinkId),
    Response(LinkId, ExchangeId, Vec<u8>),
    Pong(LinkId),
}

pub(crate) struct Reply {
    pub(crate) after: Duration,
    pub(crate) client: u32,
    pub(crate) rcode: u8,
    pub(crate) message: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) resolver: Resolver<u32>,
    pub(crate) upstreams: Vec<Behaviour>,
    pub(crate) now: Instant,
    pub(crate) replies: Vec<Reply>,
    pub(crate) dials: usize,
    pub(crate) sends: Vec<(UpstreamId, LinkId)>,
    open: BTreeMap<LinkId, UpstreamId>,
    dead: BTreeSet<LinkId>,
    events: BTreeMap<(Instant, u64), Event>,
    asked: BTreeMap<u32, Instant>,
    sequence: u64,
    next_client: u32,
}

impl World {
    pub(crate) fn new(upstreams: usize) -> Self {
        let config = Config {
            upstreams: u8::try_from(upstreams).unwrap(),
            cache_bytes: 1 << 20,
            lookups: 4096,
            clients: 16_384,
            addresses: 1024,
            seed: 7,
        };
        let mut world = Self {
            resolver: Resolver::new(config),
            upstreams: vec![Behaviour::default(); upstreams],
            now: Instant::now(),
            replies: Vec::new(),
            dials: 0,
            sends: Vec::new(),
            open: BTreeMap::new(),
            dead: BTreeSet::new(),
            events: BTreeMap::new(),
            asked: BTreeMap::new(),
            sequence: 0,
            next_client: 0,
        };
        world.path(Path::Renewed);
        world
    }

    /// A world whose connection stands and whose round trip time is known.
    pub(crate) fn warm(upstreams: usize) -> Self {
        let mut world = Self::new(upstreams);
        world.run(500 * MS);
        for n in 0..20 {
            world.ask(&format!("warm{n}.example"));
            world.run(50 * MS);
        }
        assert_eq!(world.replies.len(), 20);
        assert_eq!(world.dials, 1);
        world.replies.clear();
        world.sends.clear();
        world.dials = 0;
        world
    }

    pub(crate) fn path(&mut self, path: Path) {
        self.resolver.handle_path(path, self.now);
        self.settle();
    }

    /// Every connection that stands is dead from now on, without a sign.
    pub(crate) fn kill_silently(&mut self) {
        self.dead.extend(self.open.keys());
    }

    pub(crate) fn ask(&mut self, name: &str) -> u32 {
        self.send(&query(name, kind::A))
    }

    pub(crate) fn send(&mut self, message: &[u8]) -> u32 {
        let client = self.next_client;
        self.next_client += 1;
        self.asked.insert(client, self.now);
        self.resolver
            .handle_query(client, message, Carriage::Datagram, self.now);
        self.settle();
        client
    }

    pub(crate) fn reply(&self, client: u32) -> Option<&Reply> {
        self.replies.iter().find(|reply| reply.client == client)
    }

    pub(crate) fn failures(&self) -> usize {
        self.replies
            .iter()
            .filter(|reply| reply.rcode == SERVFAIL)
            .count()
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let wake = self.resolver.poll_timeout().map(|(at, _)| at);
            let next = event.into_iter().chain(wake).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.events.first_entry().filter(|e| e.key().0 <= self.now) {
                let event = entry.remove();
                self.deliver(event);
            }
            self.resolver.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn deliver(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Up(link) => self.resolver.handle_link_up(link, now),
            Event::Failed(link) => {
                self.open.remove(&link);
                self.resolver.handle_link_failed(link, now);
            }
            Event::Response(link, id, message) if !self.dead.contains(&link) => {
                self.resolver.handle_response(link, id, &message, now);
            }
            Event::Pong(link) if !self.dead.contains(&link) => self.resolver.handle_pong(link, now),
            Event::Response(..) | Event::Pong(_) => {}
        }
        self.settle();
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    /// Hands out what is ready.
    pub(crate) fn settle(&mut self) {
        while let Some(answer) = self.resolver.poll_answer() {
            self.replies.push(Reply {
                after: self.now - self.asked[&answer.client],
                client: answer.client,
                rcode: answer.message[3] & 0xf,
                message: answer.message,
            });
        }
        while let Some(action) = self.resolver.poll_action() {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Dial { link, upstream } => {
                self.dials += 1;
                self.open.insert(link, upstream);
                let how = self.upstreams[usize::from(upstream.0)].clone();
                if let Some(time) = how.dial {
                    let event = if how.refuses {
                        Event::Failed(link)
                    } else {
                        Event::Up(link)
                    };
                    self.later(time, event);
                }
            }
            Action::Send {
                link,
                exchange,
                message,
            } => {
                let upstream = self.open[&link];
                self.sends.push((upstream, link));
                assert_eq!(message.len() % 128, 0);
                let how = self.upstreams[usize::from(upstream.0)].clone();
                let Some(time) = how.answer else { return };
                let event = if how.breaks {
                    Event::Failed(link)
                } else if how.nonsense {
                    Event::Response(link, exchange, vec![0; 30])
                } else {
                    Event::Response(link, exchange, response(&message, how.rcode, how.ttl))
                };
                self.later(time, event);
            }
            Action::Ping { link } => {
                let upstream = self.open[&link];
                if let Some(time) = self.upstreams[usize::from(upstream.0)].pong {
                    self.later(time, Event::Pong(link));
                }
            }
            Action::Close { link } => drop(self.open.remove(&link)),
            Action::Cancel { .. } => {}
        }
    }
}

/// A client's query with an identifier of its own and mixed case.
pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(wire(name));
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// The same with an EDNS record.
pub(crate) fn edns_query(name: &str, kind: u16, payload: u16) -> Vec<u8> {
    let mut message = query(name, kind);
    message[11] = 1;
    message.extend([0, 0, 41]);
    message.extend(payload.to_be_bytes());
    message.extend([0; 6]);
    message
}

pub(crate) fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.push(0);
    bytes
}

pub(crate) fn key(name: &str, kind: u16) -> Key {
    Key::new(&wire(name), kind, false, false)
}

/// What an upstream answers: one address, or a failure.
pub(crate) fn response(query: &[u8], rcode: u8, ttl: u32) -> Vec<u8> {
    let question = question(query).unwrap();
    let answers = u8::from(rcode == NOERROR);
    let mut message = vec![0, 0, 0x81, 0x80 | rcode, 0, 1, 0, answers, 0, 0, 0, 1];
    message.extend(question);
    if rcode == NOERROR {
        message.extend([0xc0, 12, 0, 1, 0, 1]);
        message.extend(ttl.to_be_bytes());
        message.extend([0, 4, 192, 0, 2, 1]);
    }
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    message
}
