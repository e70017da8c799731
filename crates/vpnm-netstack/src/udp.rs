//! All UDP flows of a stack.

use std::collections::VecDeque;

use vpnm_wire::{BufferPool, Chunk, Datagrams, FlowKey, LARGE, SMALL};

use crate::event::{Cause, Event, FlowId, Received};
use crate::keyed_hash::KeyedHash;
use crate::slab::Slab;
use crate::table::Table;

/// Bytes of buffers one flow may hold: as many super-packets as one batch brings before
/// anybody can take them. What arrives beyond is lost.
const MAX_WAITING: usize = 32 * LARGE;
/// All flows together may hold half of the stack's memory, and one of them an eighth of
/// what the others leave: a few that hold much are no reason to lose who comes next.
const PART: usize = 2;
const SHARE: usize = 8;
/// Payload from this size on is kept in the buffer it arrived in.
const WORTH_KEEPING: usize = 16 * 1024;

/// Datagrams between two addresses.
#[derive(Debug)]
struct Flow {
    key: FlowKey,
    waiting: VecDeque<Datagrams>,
    footprint: usize,
    reader_waits: bool,
    gone: Option<Cause>,
    /// Neighbours in the order of use.
    older: Option<FlowId>,
    newer: Option<FlowId>,
}

/// The table of flows, and the order they were last used in.
#[derive(Debug)]
pub(crate) struct Udp {
    flows: Slab<Flow>,
    table: Table,
    oldest: Option<FlowId>,
    newest: Option<FlowId>,
    capacity: usize,
    memory: usize,
    /// Bytes of buffers that all flows hold.
    held: usize,
    lost: u64,
}

impl Udp {
    pub(crate) fn new(capacity: usize, memory: usize, hash: KeyedHash) -> Self {
        Self {
            flows: Slab::new(),
            table: Table::new(hash),
            oldest: None,
            newest: None,
            capacity: capacity.max(1),
            memory,
            held: 0,
            lost: 0,
        }
    }

    /// Packets that were lost because those before were not taken in time.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Flows that exist, those included whose end their user has not yet seen.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Handles a datagram, or several of `segment` bytes.
    pub(crate) fn handle(
        &mut self,
        key: FlowKey,
        payload: Chunk,
        segment: usize,
        pool: &BufferPool,
        events: &mut VecDeque<Event>,
    ) {
        let (id, is_new) = match self.table.get(&key) {
            Some(id) => (id, false),
            None => (self.open(key, events), true),
        };
        self.touch(id);
        let exhausted = pool.bytes_out() > self.memory;
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        let payload = compact(payload, pool);
        let footprint = flow.footprint + payload.footprint();
        let left = (self.memory / PART).saturating_sub(self.held);
        if footprint <= MAX_WAITING.min(left / SHARE) && (!exhausted || flow.waiting.is_empty()) {
            flow.footprint = footprint;
            self.held += payload.footprint();
            flow.waiting.push_back(Datagrams::new(payload, segment));
        } else {
            self.lost += 1;
        }
        if is_new {
            events.push_back(Event::UdpIncoming {
                id,
                source: key.source(),
                destination: key.destination(),
            });
        } else if std::mem::take(&mut flow.reader_waits) {
            events.push_back(Event::UdpReadable(id));
        }
    }

    fn open(&mut self, key: FlowKey, events: &mut VecDeque<Event>) -> FlowId {
        if self.table.len() >= self.capacity
            && let Some(oldest) = self.oldest
        {
            self.end(oldest, Cause::Evicted, events);
        }
        let id = self.flows.insert(Flow {
            key,
            waiting: VecDeque::new(),
            footprint: 0,
            reader_waits: false,
            gone: None,
            older: None,
            newer: None,
        });
        self.table.insert(key, id);
        self.append(id);
        id
    }

    /// Whether datagrams between two addresses are a flow.
    pub(crate) fn knows(&self, key: &FlowKey) -> bool {
        self.table.get(key).is_some()
    }

    /// The application's socket is closed.
    pub(crate) fn handle_unreachable(&mut self, key: &FlowKey, events: &mut VecDeque<Event>) {
        if let Some(id) = self.table.get(key) {
            self.end(id, Cause::Reset, events);
        }
    }

    /// Ends a flow whose user still has to learn of it.
    fn end(&mut self, id: FlowId, cause: Cause, events: &mut VecDeque<Event>) {
        self.detach(id);
        if let Some(flow) = self.flows.get_mut(id) {
            self.table.remove(&flow.key);
            flow.gone = Some(cause);
            flow.waiting = VecDeque::new();
            self.held -= std::mem::take(&mut flow.footprint);
            events.push_back(Event::UdpGone(id, cause));
        }
    }

    /// Takes the next datagrams of a flow.
    pub(crate) fn take(&mut self, id: FlowId) -> Received {
        let Some(flow) = self.flows.get_mut(id) else {
            return Received::Gone(Cause::Closed);
        };
        if let Some(cause) = flow.gone {
            return Received::Gone(cause);
        }
        match flow.waiting.pop_front() {
            Some(datagrams) => {
                flow.footprint -= datagrams.footprint();
                self.held -= datagrams.footprint();
                if flow.waiting.is_empty() {
                    flow.waiting = VecDeque::new();
                }
                Received::Datagrams(datagrams)
            }
            None => {
                flow.reader_waits = true;
                Received::Nothing
            }
        }
    }

    /// Forgets a flow; its addresses, if it was still alive.
    pub(crate) fn close(&mut self, id: FlowId) -> Option<FlowKey> {
        self.detach(id);
        let flow = self.flows.remove(id)?;
        self.held -= flow.footprint;
        if flow.gone.is_some() {
            return None;
        }
        self.table.remove(&flow.key);
        Some(flow.key)
    }

    /// Makes a flow the one used last.
    pub(crate) fn touch(&mut self, id: FlowId) {
        let alive = self.flows.get(id).is_some_and(|flow| flow.gone.is_none());
        if alive && self.newest != Some(id) {
            self.detach(id);
            self.append(id);
        }
    }

    fn append(&mut self, id: FlowId) {
        let newest = self.newest.replace(id);
        if let Some(flow) = self.flows.get_mut(id) {
            flow.older = newest;
            flow.newer = None;
        }
        match newest.and_then(|newest| self.flows.get_mut(newest)) {
            Some(newest) => newest.newer = Some(id),
            None => self.oldest = Some(id),
        }
    }

    fn detach(&mut self, id: FlowId) {
        let Some(flow) = self.flows.get_mut(id) else {
            return;
        };
        if flow.gone.is_some() {
            return;
        }
        let (older, newer) = (flow.older.take(), flow.newer.take());
        match older.and_then(|older| self.flows.get_mut(older)) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match newer.and_then(|newer| self.flows.get_mut(newer)) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }
}

/// Little payload moves to a small buffer, so that it does not pin a large one.
fn compact(payload: Chunk, pool: &BufferPool) -> Chunk {
    if payload.len() >= WORTH_KEEPING || payload.footprint() <= SMALL {
        payload
    } else {
        pool.copy(&payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(port: u16) -> FlowKey {
        let at = |port| std::net::SocketAddr::from(([192, 0, 2, 1], port));
        FlowKey::new(at(port), at(443))
    }

    fn udp(capacity: usize) -> (Udp, BufferPool, VecDeque<Event>) {
        let hash = KeyedHash::new(&[3; 32]);
        (
            Udp::new(capacity, 64 << 20, hash),
            BufferPool::new(),
            VecDeque::new(),
        )
    }

    fn incoming(events: &mut VecDeque<Event>) -> FlowId {
        match events.pop_front() {
            Some(Event::UdpIncoming { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flow_idle_longest_makes_room() {
        let (mut udp, pool, mut events) = udp(2);
        udp.handle(key(1), pool.copy(b"a"), 0, &pool, &mut events);
        let first = incoming(&mut events);
        udp.handle(key(2), pool.copy(b"b"), 0, &pool, &mut events);
        let second = incoming(&mut events);
        udp.touch(first);
        udp.handle(key(3), pool.copy(b"c"), 0, &pool, &mut events);
        assert!(
            matches!(events.pop_front(), Some(Event::UdpGone(id, Cause::Evicted)) if id == second)
        );
        let third = incoming(&mut events);
        assert!(matches!(udp.take(second), Received::Gone(Cause::Evicted)));
        assert!(matches!(udp.take(first), Received::Datagrams(_)));
        for id in [first, second, third] {
            udp.close(id);
        }
        assert_eq!((udp.len(), pool.bytes_out()), (0, 0));
        assert_eq!((udp.oldest, udp.newest), (None, None));
    }

    #[test]
    fn what_all_flows_hold_is_bounded_and_nobody_is_shut_out() {
        const MEMORY: usize = 8 << 20;
        let mut udp = Udp::new(32_768, MEMORY, KeyedHash::new(&[3; 32]));
        let (pool, mut events) = (BufferPool::new(), VecDeque::new());
        let mut ids = Vec::new();
        for port in 1..=20_000 {
            // The first as much as they may.
            for _ in 0..if port < 100 { 50 } else { 1 } {
                let payload = Chunk::new(pool.large(), 0, 65_507);
                udp.handle(key(port), payload, 0, &pool, &mut events);
            }
            ids.push(incoming(&mut events));
            assert!(events.is_empty());
            assert!(pool.bytes_out() <= MEMORY / PART, "{port}");
        }
        assert!(udp.lost() > 19_000);
        assert_eq!(pool.bytes_out(), udp.held);
        for id in ids {
            while let Received::Datagrams(_) = udp.take(id) {}
            udp.close(id);
        }
        assert_eq!((udp.held, pool.bytes_out()), (0, 0));
    }

    #[test]
    fn who_holds_much_leaves_room_for_who_comes() {
        let (mut udp, pool, mut events) = udp(1_000);
        for port in 1..=50 {
            for _ in 0..100 {
                let payload = Chunk::new(pool.large(), 0, 60_000);
                udp.handle(key(port), payload, 0, &pool, &mut events);
            }
        }
        let before = udp.lost();
        for port in 100..300 {
            udp.handle(key(port), pool.copy(b"query"), 0, &pool, &mut events);
        }
        assert_eq!(udp.lost(), before, "some of those who came were shut out");
        assert!(before > 0, "nobody held much");
    }

    #[test]
    fn what_waits_is_bounded_and_announced_once() {
        let (mut udp, pool, mut events) = udp(2);
        for _ in 0..10_000 {
            udp.handle(key(1), pool.copy(&[0; 1_000]), 0, &pool, &mut events);
        }
        assert!(pool.bytes_out() <= MAX_WAITING);
        let id = incoming(&mut events);
        assert!(events.is_empty());
        while let Received::Datagrams(_) = udp.take(id) {}
        udp.handle(key(1), pool.copy(b"x"), 0, &pool, &mut events);
        udp.handle(key(1), pool.copy(b"y"), 0, &pool, &mut events);
        assert!(matches!(events.pop_front(), Some(Event::UdpReadable(_))));
        assert!(events.is_empty());
    }
}
