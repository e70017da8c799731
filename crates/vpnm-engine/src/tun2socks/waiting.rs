//! Datagrams that wait: while the proxy is being asked, or for room in the kernel.

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

/// A part of the room, given back when dropped.
#[derive(Debug, Default)]
struct Part {
    room: Room,
    bytes: usize,
}

/// What waits for one association.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    part: Part,
    datagrams: VecDeque<Vec<u8>>,
}

/// Encoded datagrams of one size for which the kernel had no room, the last possibly
/// shorter.
#[derive(Debug)]
pub(super) struct Stuck {
    bytes: Vec<u8>,
    /// The size of each in bytes, of all but the last one.
    segment: usize,
    part: Part,
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
            part: self.part(),
            datagrams: VecDeque::new(),
        }
    }

    /// Keeps datagrams; none where there is no room for them and as many bytes `beside`
    /// them that wait because they do.
    pub(super) fn keep(&self, bytes: &[u8], segment: usize, beside: usize) -> Option<Stuck> {
        let mut part = self.part();
        part.takes(OVERHEAD + bytes.len() + beside).then(|| Stuck {
            bytes: bytes.to_vec(),
            segment,
            part,
        })
    }

    fn part(&self) -> Part {
        Part {
            room: self.clone(),
            bytes: 0,
        }
    }
}

impl Stuck {
    /// The datagrams and the size of each; the room is given back.
    pub(super) fn release(self) -> (Vec<u8>, usize) {
        drop(self.part);
        (self.bytes, self.segment)
    }
}

impl Part {
    /// Takes so many bytes more, if there are as many.
    fn takes(&mut self, bytes: usize) -> bool {
        let all = self.room.used.get() + bytes;
        let fits = all <= self.room.most;
        if fits {
            self.room.used.set(all);
            self.bytes += bytes;
        }
        fits
    }

    fn give_back(&mut self) {
        let all = &self.room.used;
        all.set(all.get() - std::mem::take(&mut self.bytes));
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Waiting {
    /// Keeps a datagram, or loses it where there is no room.
    pub(super) fn push(&mut self, datagram: &[u8]) {
        if self.datagrams.len() < COUNT && self.part.takes(OVERHEAD + datagram.len()) {
            self.datagrams.push_back(datagram.to_vec());
        }
    }

    /// All of them, in their order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.part.give_back();
        self.datagrams.drain(..)
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
        let kept = others
            .iter()
            .filter(|waiting| waiting.part.bytes > 0)
            .count();
        assert_eq!(kept, 256);
        assert_eq!(first.drain().count(), COUNT);
        drop(others);
        assert_eq!(room.used.get(), 0);
    }

    #[test]
    fn what_is_stuck_is_bounded_with_what_waits_beside_it() {
        let room = Room::default();
        let mut waiting = room.waiting();
        waiting.push(&[7; 1_000]);
        let flows = (0..32_768).filter_map(|_| room.keep(&[7; 60_000], 1_200, 65_536));
        let stuck: Vec<_> = flows.collect();
        let held = stuck.iter().map(|stuck| stuck.bytes.len() + 65_536);
        assert!(held.sum::<usize>() <= BYTES);
        assert!(stuck.len() > 100, "some must be kept");
        waiting.push(&[7; 1_000]);
        assert_eq!(waiting.datagrams.len(), 2, "what is small still fits");
        for stuck in stuck {
            assert_eq!(stuck.release(), (vec![7; 60_000], 1_200));
        }
        drop(waiting);
        assert_eq!(room.used.get(), 0);
    }
}
