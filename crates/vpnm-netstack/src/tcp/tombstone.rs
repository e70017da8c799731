//! Connections that ended in order, remembered for a moment (TIME-WAIT).

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use vpnm_wire::{FlowKey, Seq};

use super::input::Segment;
use crate::keyed_hash::KeyedHash;

/// How long: the link's packets are not older than a moment, unlike the minutes that
/// RFC 9293 section 3.4.1 allows the Internet.
const LIFETIME: Duration = Duration::from_secs(2);
/// Most at one time.
const CAPACITY: usize = 16_384;

/// What is needed to answer a late segment of a connection that is no more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tombstone {
    /// Our next sequence number.
    pub(crate) ours: Seq,
    /// The next sequence number expected.
    pub(crate) theirs: Seq,
    /// What an answer echoes, if both ends had timestamps.
    pub(crate) echo: Option<u32>,
    /// Whether our FIN was out before the peer's came, so that it is for us to wait.
    pub(crate) waits: bool,
}

impl Tombstone {
    /// Whether a segment is the first of a new connection: a SYN whose number (RFC 9293
    /// section 3.10.7.4) or whose timestamp (RFC 6191 section 2) is later than the last of
    /// the old one; any, if it is for the peer to wait.
    pub(crate) fn is_followed_by(&self, segment: &Segment) -> bool {
        let both = self.echo.zip(segment.options.stamps);
        let later = both.is_some_and(|(last, stamps)| {
            // A clock that stood still then proves nothing.
            last != 0 && Seq(last).before(Seq(stamps.value))
        });
        let higher = self.theirs.before(segment.header.seq);
        segment.header.flags.opens() && (!self.waits || later || higher)
    }
}

#[derive(Debug)]
pub(crate) struct Tombstones {
    stones: HashMap<FlowKey, (Tombstone, Instant), KeyedHash>,
    /// In the order of their expiry.
    queue: VecDeque<(Instant, FlowKey)>,
}

impl Tombstones {
    pub(crate) fn new(hash: KeyedHash) -> Self {
        Self {
            stones: HashMap::with_hasher(hash),
            queue: VecDeque::new(),
        }
    }

    pub(crate) fn set(&mut self, key: FlowKey, stone: Tombstone, now: Instant) {
        self.expire(now);
        if self.queue.len() >= CAPACITY {
            self.pop();
        }
        let until = now + LIFETIME;
        self.stones.insert(key, (stone, until));
        self.queue.push_back((until, key));
    }

    pub(crate) fn get(&mut self, key: &FlowKey, now: Instant) -> Option<Tombstone> {
        self.expire(now);
        self.stones.get(key).map(|(stone, _)| *stone)
    }

    pub(crate) fn remove(&mut self, key: &FlowKey) {
        self.stones.remove(key);
    }

    /// When the first is to be forgotten.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.queue.front().map(|(until, _)| *until)
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        while self.next_expiry().is_some_and(|until| until <= now) {
            self.pop();
        }
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue.shrink_to_fit();
            self.stones.shrink_to_fit();
        }
    }

    fn pop(&mut self) {
        if let Some((until, key)) = self.queue.pop_front()
            // A stone that was set again since lives on.
            && self.stones.get(&key).is_some_and(|(_, last)| *last == until)
        {
            self.stones.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stone_crumbles_in_time() {
        let now = Instant::now();
        let mut stones = Tombstones::new(KeyedHash::new(&[0; 32]));
        let at = |text: &str| text.parse().unwrap();
        let key = FlowKey::new(at("192.0.2.1:1"), at("192.0.2.2:2"));
        let stone = Tombstone {
            ours: Seq(1),
            theirs: Seq(2),
            echo: None,
            waits: true,
        };
        stones.set(key, stone, now);
        stones.set(key, stone, now + LIFETIME / 2);
        assert!(
            stones.get(&key, now + LIFETIME).is_some(),
            "it was set again"
        );
        assert!(stones.get(&key, now + LIFETIME * 2).is_none());
        assert_eq!(stones.next_expiry(), None);
    }
}
