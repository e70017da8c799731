//! A stack and a peer on virtual time, with a link between them that loses, reorders,
//! duplicates and queues packets; every run is determined by its seed.

mod acknowledging;
mod attacker;
mod client;
mod cookies;
mod faults;
mod flood;
mod link;
mod misfits;
mod oddities;
mod oversize;
mod paths;
mod script;
mod stamps;
mod strangers;
mod throughput;
mod transfers;
mod wild;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::client::Client;
use self::link::{Link, Path};
use crate::config::Config;
use crate::event::{Cause, Event, FlowId, Refusal, Sent, Taken};
use crate::packet::Ingress;
use crate::stack::Stack;

/// The bytes of every test stream from a place on.
fn patterned(from: usize, len: usize) -> Vec<u8> {
    const PERIOD: usize = 253 * 256;
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        (0..2 * PERIOD)
            .map(|at| u8::try_from((at % PERIOD * 131 + at % PERIOD / 253) % 256).unwrap())
            .collect()
    });
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let from = (from + bytes.len()) % PERIOD;
        let count = (len - bytes.len()).min(PERIOD);
        bytes.extend_from_slice(&pattern[from..from + count]);
    }
    bytes
}

/// What the stack's user does with its flow.
#[derive(Debug, Clone, Copy)]
struct Server {
    /// Bytes to send before finishing.
    send: usize,
    /// Bytes read at a time, and how long the next reading then waits.
    read: usize,
    pause: Duration,
    refuse: Option<Refusal>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            send: 0,
            read: usize::MAX,
            pause: Duration::ZERO,
            refuse: None,
        }
    }
}

/// A stack with one flow, its peer and what lies between.
struct World {
    start: Instant,
    now: Instant,
    stack: Stack,
    client: Client,
    up: Link,
    down: Link,
    server: Server,
    flow: Option<FlowId>,
    /// Bytes the user sent and received.
    sent: usize,
    received: usize,
    saw_end: bool,
    gone: Option<Cause>,
    next_read: Instant,
    finished: bool,
    started: bool,
}

impl World {
    fn new(path: Path, server: Server, send: usize) -> Self {
        let start = Instant::now();
        let mut config = Config::new(1_500, [9; 32]);
        config.offload = path.offload;
        let stack = Stack::new(&config);
        let pool = stack.pool().clone();
        Self {
            start,
            now: start,
            client: Client::new(send, path, &pool),
            stack,
            up: Link::new(path, 1),
            down: Link::new(path, 2),
            server,
            flow: None,
            sent: 0,
            received: 0,
            saw_end: false,
            gone: None,
            next_read: start,
            finished: false,
            started: false,
        }
    }

    /// Lets time pass until both sides are done, at most `limit` of it; how long it took.
    fn run(&mut self, limit: Duration) -> Duration {
        let end = self.start + limit;
        while !self.is_done() && self.now < end {
            self.step_until(end);
        }
        self.now - self.start
    }

    /// Lets the next thing happen.
    fn step(&mut self) {
        self.step_until(self.start + Duration::from_secs(1_000_000));
    }

    /// Lets the next thing happen, if it does before `end`.
    fn step_until(&mut self, end: Instant) {
        if !std::mem::replace(&mut self.started, true) {
            self.exchange();
            return;
        }
        let idle = self.now + Duration::from_secs(1);
        self.now = self.next_event().unwrap_or(idle).min(end).max(self.now);
        self.exchange();
        assert!(
            self.now - self.start < Duration::from_secs(100_000),
            "nothing comes to an end"
        );
    }

    fn is_done(&self) -> bool {
        let server = self.saw_end && self.finished || self.gone.is_some();
        let refused = self.server.refuse.is_some();
        (server || refused) && self.client.is_done() && self.up.is_empty() && self.down.is_empty()
    }

    fn next_event(&self) -> Option<Instant> {
        let reading = (self.next_read > self.now).then_some(self.next_read);
        [
            self.up.next(),
            self.down.next(),
            self.stack.poll_timeout().map(|(at, _)| at),
            self.client.next_timeout(),
            reading,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// All that happens at this moment.
    fn exchange(&mut self) {
        while let Some((packet, offload)) = self.up.deliver(self.now) {
            let content = self.stack.pool().copy(&packet);
            let ingress = Ingress::offloaded(content, offload);
            self.stack.handle_packet(ingress, self.now);
        }
        while let Some((packet, offload)) = self.down.deliver(self.now) {
            self.client.handle(&packet, offload, self.now);
        }
        if self
            .stack
            .poll_timeout()
            .is_some_and(|(at, _)| at <= self.now)
        {
            self.stack.handle_timeout(self.now);
        }
        self.client.handle_timeout(self.now);
        self.serve();
        self.stack.release_acks(self.now);
        while let Some(packet) = self.stack.poll_transmit(self.now) {
            self.down
                .send(packet.parts().concat(), packet.offload(), self.now);
        }
        while let Some((packet, offload)) = self.client.poll_transmit(self.now) {
            self.up.send(packet, offload, self.now);
        }
    }

    /// The user of the stack takes its turn.
    fn serve(&mut self) {
        while let Some(event) = self.stack.poll_event() {
            if let Event::TcpGone(id, cause) = event
                && self.flow == Some(id)
            {
                self.gone = Some(cause);
            }
            if let Event::TcpIncoming { id, source, .. } = event
                && source == self.client.key().destination()
                && self.flow.is_none()
            {
                self.flow = Some(id);
                match self.server.refuse {
                    None => self.stack.tcp_accept(id, self.now),
                    Some(why) => self.stack.tcp_refuse(id, why, self.now),
                }
            }
        }
        if let Some(id) = self.flow {
            self.read(id);
            self.write(id);
        }
    }

    fn read(&mut self, id: FlowId) {
        while self.next_read <= self.now && !self.saw_end {
            match self.stack.tcp_take(id) {
                Taken::Data(chunk) => {
                    let expected = patterned(self.received, chunk.len());
                    assert!(chunk[..] == expected, "at {}", self.received);
                    self.received += chunk.len();
                    let mut left = chunk.len();
                    while left > 0 {
                        let count = left.min(self.server.read);
                        self.stack.tcp_release(id, count);
                        left -= count;
                    }
                    self.next_read = self.now + self.server.pause;
                }
                Taken::End => self.saw_end = true,
                Taken::Nothing | Taken::Gone(_) => return,
            }
        }
    }

    fn write(&mut self, id: FlowId) {
        while self.sent < self.server.send {
            let bytes = patterned(self.sent, (self.server.send - self.sent).min(50_000));
            match self.stack.tcp_send(id, &bytes, self.now) {
                Sent::Bytes(count) => self.sent += count,
                Sent::Full | Sent::Gone(_) => return,
            }
        }
        if !self.finished {
            self.finished = true;
            self.stack.tcp_finish(id, self.now);
        }
    }

    /// The user lets go; afterwards nothing may be left of the flow.
    fn close(&mut self) {
        if let Some(id) = self.flow.take() {
            self.stack.tcp_close(id, self.now);
            self.exchange();
        }
    }
}
