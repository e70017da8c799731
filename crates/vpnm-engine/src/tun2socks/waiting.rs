//! Datagrams that wait while the proxy is being asked.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Most datagrams of one application's socket; more are lost, as on a full link.
const COUNT: usize = 64;
/// Most bytes of all sockets' together: a proxy that does not answer has as many of them
/// wait as there may be associations.
pub(super) const BYTES: usize = 16 << 20;
/// Bytes that each costs beside its content.
const OVERHEAD: usize = 64;

/// What waits for all associations of a thread; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Room {
    used: Rc<Cell<usize>>,
    /// Bytes at the most.
    most: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self::new(BYTES)
    }
}

/// What waits for one association.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    room: Room,
    datagrams: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            used: Rc::default(),
            most,
        }
    }

    /// Nothing that waits yet.
    pub(super) fn waiting(&self) -> Waiting {
        Waiting {
            room: self.clone(),
            datagrams: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl Waiting {
    /// Keeps a datagram, or loses it where there is no room.
    pub(super) fn push(&mut self, datagram: &[u8]) {
        let bytes = OVERHEAD + datagram.len();
        let all = self.room.used.get() + bytes;
        if self.datagrams.len() < COUNT && all <= self.room.most {
            self.room.used.set(all);
            self.bytes += bytes;
            self.datagrams.push_back(datagram.to_vec());
        }
    }

    /// All of them, in their order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.give_back();
        self.datagrams.drain(..)
    }

    fn give_back(&mut self) {
        let all = &self.room.used;
        all.set(all.get() - std::mem::take(&mut self.bytes));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_for_one_and_for_all() {
        let room = Room::default();
        let mut first = room.waiting();
        for _ in 0..2 * COUNT {
            first.push(&[7; 1_000]);
        }
        assert_eq!(first.datagrams.len(), COUNT);
        let mut others: Vec<_> = (0..1_000).map(|_| room.waiting()).collect();
        for waiting in &mut others {
            waiting.push(&[7; 65_000]);
        }
        assert!(room.used.get() <= BYTES);
        let kept = others.iter().filter(|waiting| waiting.bytes > 0).count();
        assert_eq!(kept, 256);
        assert_eq!(first.drain().count(), COUNT);
        drop(others);
        assert_eq!(room.used.get(), 0);
    }
}
