//! Flows by number.

use crate::event::FlowId;

/// Things with a number each; numbers are reused, identifiers are not.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
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
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, content: T) -> FlowId {
        self.len += 1;
        let content = Some(Box::new(content));
        if let Some(number) = self.free.pop()
            && let Some(slot) = usize::try_from(number)
                .ok()
                .and_then(|index| self.slots.get_mut(index))
        {
            slot.content = content;
            return FlowId {
                slot: number,
                generation: slot.generation,
            };
        }
        let number = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot {
            generation: 0,
            content,
        });
        FlowId {
            slot: number,
            generation: 0,
        }
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
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.slot);
        self.len -= 1;
        Some(content)
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
}
