//! A map with a budget: what is not used again is the first to go.
//!
//! SIEVE (Zhang et al., NSDI 2024): a queue, a mark per entry and a hand that
//! walks from the oldest to the newest. A hit sets a mark and moves nothing.

use std::collections::HashMap;
use std::hash::Hash;

/// The entries and their order of arrival.
#[derive(Debug)]
pub(crate) struct Sieve<K, V> {
    slots: Vec<Slot<K, V>>,
    index: HashMap<K, usize>,
    free: Vec<usize>,
    newest: Option<usize>,
    oldest: Option<usize>,
    hand: Option<usize>,
    cost: usize,
    budget: usize,
}

#[derive(Debug)]
struct Slot<K, V> {
    entry: Option<(K, V)>,
    cost: usize,
    marked: bool,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K: Hash + Eq + Clone, V> Sieve<K, V> {
    /// An empty map whose entries may cost `budget` together.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            slots: Vec::new(),
            index: HashMap::new(),
            free: Vec::new(),
            newest: None,
            oldest: None,
            hand: None,
            cost: 0,
            budget,
        }
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// What all entries cost together.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// The value of a key; it counts as used.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = self.slots.get_mut(*self.index.get(key)?)?;
        slot.marked = true;
        slot.entry.as_mut().map(|(_, value)| value)
    }

    /// The value of a key, without counting as use.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        let slot = self.slots.get(*self.index.get(key)?)?;
        slot.entry.as_ref().map(|(_, value)| value)
    }

    /// Adds or replaces an entry; others go until the budget holds.
    pub(crate) fn insert(&mut self, key: K, value: V, cost: usize) {
        self.remove(&key);
        if cost > self.budget {
            return;
        }
        while self.cost + cost > self.budget {
            self.evict();
        }
        let slot = Slot {
            entry: Some((key.clone(), value)),
            cost,
            marked: false,
            newer: None,
            older: self.newest,
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => self.slots.len(),
        };
        match self.slots.get_mut(at) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        if let Some(next) = self.newest.and_then(|n| self.slots.get_mut(n)) {
            next.newer = Some(at);
        }
        self.newest = Some(at);
        self.oldest = self.oldest.or(Some(at));
        self.cost += cost;
        self.index.insert(key, at);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.remove(key)?;
        let slot = self.slots.get_mut(at)?;
        let (newer, older, cost) = (slot.newer, slot.older, slot.cost);
        let entry = slot.entry.take();
        self.cost -= cost;
        self.free.push(at);
        match newer.and_then(|n| self.slots.get_mut(n)) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        match older.and_then(|o| self.slots.get_mut(o)) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        if self.hand == Some(at) {
            self.hand = newer;
        }
        entry.map(|(_, value)| value)
    }

    /// Removes the first entry without a mark from the hand on, wiping marks on the way.
    fn evict(&mut self) {
        let mut at = self.hand.or(self.oldest);
        while let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            if !slot.marked {
                self.hand = slot.newer;
                let key = slot.entry.as_ref().map(|(key, _)| key.clone());
                if let Some(key) = key {
                    self.remove(&key);
                }
                return;
            }
            slot.marked = false;
            at = slot.newer.or(self.oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_outlives_what_was_not() {
        let mut sieve = Sieve::new(3);
        for key in 0..3 {
            sieve.insert(key, key * 10, 1);
        }
        assert_eq!(sieve.get_mut(&0), Some(&mut 0));
        sieve.insert(3, 30, 1);
        assert_eq!(sieve.peek(&0), Some(&0));
        assert_eq!(sieve.peek(&1), None);
        assert_eq!(sieve.len(), 3);
    }

    #[test]
    fn the_budget_holds_under_any_order_of_calls() {
        let mut sieve = Sieve::new(1000);
        let mut state = 7_u32;
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = (state >> 8) % 200;
            match state % 5 {
                0 => drop(sieve.remove(&key)),
                1 => drop(sieve.get_mut(&key)),
                _ => sieve.insert(key, key, 1 + (state >> 20) as usize % 90),
            }
            assert!(sieve.cost() <= 1000);
            let walked = walk(&sieve);
            assert_eq!(walked.len(), sieve.len());
            assert!(walked.iter().all(|key| sieve.peek(key) == Some(key)));
        }
    }

    fn walk(sieve: &Sieve<u32, u32>) -> Vec<u32> {
        let mut keys = Vec::new();
        let mut at = sieve.oldest;
        while let Some(slot) = at.map(|at| &sieve.slots[at]) {
            keys.push(slot.entry.as_ref().unwrap().0);
            at = slot.newer;
        }
        keys
    }

    #[test]
    fn an_entry_beyond_the_budget_is_not_kept() {
        let mut sieve = Sieve::new(10);
        sieve.insert(1, (), 5);
        sieve.insert(2, (), 11);
        assert_eq!(sieve.len(), 1);
    }
}
