//! Flows by their addresses.

use std::collections::HashMap;

use vpnm_wire::FlowKey;

use crate::event::FlowId;
use crate::keyed_hash::KeyedHash;

/// Room kept when flows have gone; what a burst needed beyond it is given back.
const KEPT: usize = 64;

/// Which flow is between two addresses.
#[derive(Debug)]
pub(crate) struct Table(HashMap<FlowKey, FlowId, KeyedHash>);

impl Table {
    pub(crate) fn new(hash: KeyedHash) -> Self {
        Self(HashMap::with_hasher(hash))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn get(&self, key: &FlowKey) -> Option<FlowId> {
        self.0.get(key).copied()
    }

    pub(crate) fn insert(&mut self, key: FlowKey, id: FlowId) {
        self.0.insert(key, id);
    }

    pub(crate) fn remove(&mut self, key: &FlowKey) {
        self.0.remove(key);
        let kept = self.0.len().max(KEPT);
        if self.0.capacity() / 4 > kept {
            self.0.shrink_to(kept * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_leaves_little_behind() {
        let mut table = Table::new(KeyedHash::new(&[5; 32]));
        let id = FlowId {
            slot: 0,
            generation: 0,
        };
        let at = |number: u32| std::net::SocketAddr::from((number.to_be_bytes(), 7));
        let keys: Vec<_> = (0..100_000)
            .map(|number| FlowKey::new(at(number), at(7)))
            .collect();
        for key in &keys {
            table.insert(*key, id);
        }
        for key in &keys {
            assert_eq!(table.get(key), Some(id));
            table.remove(key);
        }
        assert!(table.len() == 0 && table.0.capacity() <= 8 * KEPT);
    }
}
