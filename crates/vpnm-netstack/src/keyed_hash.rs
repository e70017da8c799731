//! A fast hash that nobody outside can find collisions for without its key.

use std::hash::{BuildHasher, Hasher};

/// Keeps a poor secret from making a poor multiplier: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Makes [`KeyedHasher`]s; two secrets give unrelated hashes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyedHash {
    keys: [u64; 2],
}

/// Multiplies each word into the state and folds the halves of the product.
#[derive(Debug)]
pub(crate) struct KeyedHasher {
    state: u64,
    key: u64,
}

impl KeyedHash {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let (words, _) = secret.as_chunks::<8>();
        let word = |at: usize| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word));
        let state = word(0) ^ word(2).rotate_left(23);
        let key = word(1) ^ word(3).rotate_left(41) ^ SPREAD;
        Self {
            // An odd multiplier loses no bits.
            keys: [state, key | 1],
        }
    }
}

impl BuildHasher for KeyedHash {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        let [state, key] = self.keys;
        KeyedHasher { state, key }
    }
}

impl KeyedHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.key);
        let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(product >> 64).unwrap_or(0);
        self.state = low ^ high ^ word.rotate_left(32);
    }
}

impl Hasher for KeyedHasher {
    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.key);
        let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
        low ^ u64::try_from(product >> 64).unwrap_or(0)
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, tail) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_ne_bytes(*word));
        }
        let mut last = [0; 8];
        for (place, byte) in last.iter_mut().zip(tail) {
            *place = *byte;
        }
        if !tail.is_empty() {
            self.mix(u64::from_ne_bytes(last));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ports_of_one_host_spread_over_a_table() {
        let hash = KeyedHash::new(&[7; 32]);
        let buckets: BTreeSet<u64> = (0..4_096_u16)
            .map(|port| hash.hash_one((1_u64, 2_u64, port, 443_u16)) % 65_536)
            .collect();
        // Throwing 4096 balls into 65536 bins leaves about 3970 bins hit.
        assert!(buckets.len() > 3_900, "only {} buckets", buckets.len());
    }

    #[test]
    fn another_secret_is_another_hash() {
        let (a, b) = (KeyedHash::new(&[1; 32]), KeyedHash::new(&[2; 32]));
        assert_ne!(a.hash_one(1_u64), b.hash_one(1_u64));
    }
}
