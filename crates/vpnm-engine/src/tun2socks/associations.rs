//! Which associations are open, and which of them was idle longest.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::time::Instant;

use super::association::Association;

/// Room kept when associations have gone; what a burst needed beyond it is given back.
const KEPT: usize = 1_024;

/// The open associations. There is one place in the order for each, no matter how many
/// have come and gone.
#[derive(Debug, Default)]
pub(super) struct Associations {
    /// By the application's address: what makes the mapping endpoint-independent.
    open: HashMap<SocketAddr, Entry>,
    /// Who was last used when, as of when that was looked at last.
    order: BTreeMap<u64, (SocketAddr, Instant)>,
    /// The next number in the order.
    next: u64,
}

#[derive(Debug)]
struct Entry {
    association: Rc<Association>,
    /// Its number in the order.
    number: u64,
}

impl Associations {
    pub(super) fn get(&self, source: SocketAddr) -> Option<Rc<Association>> {
        let entry = self.open.get(&source)?;
        Some(Rc::clone(&entry.association))
    }

    /// Adds the association of an address that has none.
    pub(super) fn insert(&mut self, source: SocketAddr, association: &Rc<Association>) {
        let number = self.queue(source, association.last_used());
        let entry = Entry {
            association: Rc::clone(association),
            number,
        };
        if let Some(before) = self.open.insert(source, entry) {
            self.order.remove(&before.number);
        }
    }

    /// An association has ended; another one of the same address stays.
    pub(super) fn forget(&mut self, source: SocketAddr, ended: &Rc<Association>) {
        let entry = self.open.get(&source);
        if entry.is_some_and(|entry| Rc::ptr_eq(&entry.association, ended)) {
            self.remove(source);
        }
    }

    /// Takes out the association idle longest, if there are `capacity` or more.
    pub(super) fn make_room(&mut self, capacity: usize) -> Option<Rc<Association>> {
        while self.open.len() >= capacity.max(1) {
            let (_, (source, seen)) = self.order.pop_first()?;
            let used = self.open.get(&source)?.association.last_used();
            if used <= seen {
                return self.remove(source);
            }
            let number = self.queue(source, used);
            if let Some(entry) = self.open.get_mut(&source) {
                entry.number = number;
            }
        }
        None
    }

    fn queue(&mut self, source: SocketAddr, used: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.order.insert(number, (source, used));
        number
    }

    fn remove(&mut self, source: SocketAddr) -> Option<Rc<Association>> {
        let entry = self.open.remove(&source)?;
        self.order.remove(&entry.number);
        let kept = self.open.len().max(KEPT);
        if self.open.capacity() / 4 > kept {
            self.open.shrink_to(kept * 2);
        }
        Some(entry.association)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tun2socks::waiting::Waiting;

    fn source(number: u32) -> SocketAddr {
        let [_, a, b, c] = number.to_be_bytes();
        SocketAddr::from(([10, a, b, c], 53))
    }

    fn open(associations: &mut Associations, number: u32) -> Rc<Association> {
        let association = Rc::new(Association::new(Waiting::default()));
        associations.insert(source(number), &association);
        association
    }

    #[test]
    fn what_has_gone_leaves_nothing_behind() {
        let mut associations = Associations::default();
        let stays = open(&mut associations, 1 << 20);
        for number in 0..100_000 {
            // Ports are used again, as those of a resolver's clients are.
            let source_number = number % 5_000;
            let gone = open(&mut associations, source_number);
            associations.forget(source(source_number), &gone);
            assert!(associations.make_room(1_000).is_none());
            assert_eq!(associations.order.len(), 1);
        }
        assert!(associations.get(source(1 << 20)).is_some());
        assert!(associations.open.capacity() < 8 * KEPT);
        associations.forget(source(1 << 20), &stays);
        assert!(associations.open.is_empty() && associations.order.is_empty());
    }

    #[test]
    fn a_hundred_thousand_make_room_for_each_other() {
        let mut associations = Associations::default();
        let mut evicted = 0;
        for number in 0..100_000 {
            evicted += usize::from(associations.make_room(32_768).is_some());
            open(&mut associations, number);
            assert!(associations.open.len() <= 32_768);
            assert_eq!(associations.order.len(), associations.open.len());
        }
        assert_eq!(evicted, 100_000 - 32_768);
        assert!(associations.get(source(0)).is_none());
        assert!(associations.get(source(99_999)).is_some());
    }

    #[test]
    fn who_was_used_since_goes_after_who_was_not() {
        let mut associations = Associations::default();
        let first = open(&mut associations, 1);
        let second = open(&mut associations, 2);
        std::thread::sleep(std::time::Duration::from_millis(2));
        drop(first.send(b"", 0));
        let evicted = associations.make_room(2);
        assert!(evicted.is_some_and(|evicted| Rc::ptr_eq(&evicted, &second)));
        assert!(associations.get(source(1)).is_some());
        assert!(associations.make_room(2).is_none());
    }

    #[test]
    fn an_end_that_is_told_late_is_not_that_of_the_next() {
        let mut associations = Associations::default();
        let first = open(&mut associations, 1);
        let second = open(&mut associations, 1);
        associations.forget(source(1), &first);
        let known = associations.get(source(1));
        assert!(known.is_some_and(|known| Rc::ptr_eq(&known, &second)));
        assert_eq!(associations.order.len(), 1);
    }
}
