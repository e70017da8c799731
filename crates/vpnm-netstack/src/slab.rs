//! Flows by number.

use crate::event::FlowId;

/// Slots kept when flows have gone; what a burst needed beyond them is given back.
const KEPT: usize = 64;

/// Things with a number each; numbers are reused, identifiers are not.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// Empty slots, and some that are no more.
    free: Vec<u32>,
    len: usize,
    /// Of the identifier given last.
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// Boxed, so that a slot whose flow is gone costs next to nothing.
    content: Option<Box<T>>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            len: 0,
            generation: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, content: T) -> FlowId {
        self.len += 1;
        self.generation = self.generation.wrapping_add(1);
        let slot = Slot {
            generation: self.generation,
            content: Some(Box::new(content)),
        };
        let id = |slot| FlowId {
            slot,
            generation: self.generation,
        };
        while let Some(number) = self.free.pop() {
            let index = id(number).slot();
            if let Some(place) = self.slots.get_mut(index)
                && place.content.is_none()
            {
                *place = slot;
                return id(number);
            }
        }
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(slot);
        id(number)
    }

    pub(crate) fn get(&self, id: FlowId) -> Option<&T> {
        let slot = self.slots.get(id.slot())?;
        if slot.generation != id.generation {
            return None;
        }
        slot.content.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: FlowId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation != id.generation {
            return None;
        }
        slot.content.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, id: FlowId) -> Option<Box<T>> {
        let slot = self.slots.get_mut(id.slot())?;
        if slot.generation != id.generation {
            return None;
        }
        let content = slot.content.take()?;
        self.free.push(id.slot);
        self.len -= 1;
        self.shrink();
        Some(content)
    }

    /// Lets go of the empty slots at the end.
    fn shrink(&mut self) {
        while self.slots.pop_if(|slot| slot.content.is_none()).is_some() {}
        let kept = self.slots.len().max(KEPT);
        if self.slots.capacity() / 4 > kept {
            self.slots.shrink_to(kept * 2);
            let end = self.slots.len();
            self.free
                .retain(|slot| usize::try_from(*slot).is_ok_and(|slot| slot < end));
            self.free.shrink_to(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_does_not_reach_the_slots_next_owner() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first).as_deref(), Some(&"first"));
        let second = slab.insert("second");
        assert_eq!(first.slot(), second.slot());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_burst_leaves_little_behind() {
        let mut slab = Slab::new();
        let first = slab.insert(0);
        let burst: Vec<_> = (1..100_000).map(|number| slab.insert(number)).collect();
        for id in &burst {
            assert!(slab.remove(*id).is_some());
        }
        assert!(slab.slots.capacity() <= 8 * KEPT && slab.free.capacity() <= 8 * KEPT);
        let again: Vec<_> = (1..100).map(|number| slab.insert(number)).collect();
        for (old, new) in burst.iter().zip(&again) {
            assert_eq!(slab.get(*old), None);
            assert!(slab.get(*new).is_some());
        }
        assert_eq!((slab.get(first), slab.len()), (Some(&0), 100));
    }

    #[test]
    fn no_slot_is_given_twice() {
        let mut slab = Slab::new();
        let mut open: Vec<(FlowId, usize)> = Vec::new();
        for number in 0..20_000_usize {
            // Grows and shrinks, from both ends.
            let grows = number / 700 % 2 == 0;
            if grows || open.is_empty() {
                open.push((slab.insert(number), number));
            } else {
                let at = if number % 3 == 0 { 0 } else { open.len() - 1 };
                let (id, content) = open.swap_remove(at);
                assert_eq!(slab.remove(id).as_deref(), Some(&content));
            }
            assert_eq!(slab.len(), open.len());
        }
        for (id, content) in open {
            assert_eq!(slab.get(id), Some(&content));
        }
    }
}
