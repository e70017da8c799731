//! Who asks, and when: the sixteen bytes a request begins with.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, UnboundCipherKey};
use md5::{Digest as _, Md5};
use vpnm_profile::Uuid;

use super::kdf;

/// What the key of a user is hashed with.
const CMD_KEY_SALT: &[u8] = b"c48619fe-8f02-49e0-b9e9-edf763e17e21";

/// The key that a user's id stands for.
#[derive(Clone)]
pub struct CmdKey([u8; 16]);

impl CmdKey {
    /// Derives the key of a user.
    #[must_use]
    pub fn new(id: &Uuid) -> Self {
        let mut hash = Md5::new();
        hash.update(id.as_bytes());
        hash.update(CMD_KEY_SALT);
        Self(hash.finalize().into())
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The sixteen bytes for a request made `time` seconds after 1970.
    ///
    /// One AES block of time, randomness and their checksum: the server that knows
    /// the key sees that it is fresh, nobody else sees anything.
    #[must_use]
    pub fn auth_id(&self, time: u64, random: [u8; 4]) -> [u8; 16] {
        let mut block = [0; 16];
        let (stamp, rest) = block.split_at_mut(8);
        stamp.copy_from_slice(&time.to_be_bytes());
        let (noise, checksum) = rest.split_at_mut(4);
        noise.copy_from_slice(&random);
        let sum = crc32(stamp.iter().chain(noise.iter()).copied());
        checksum.copy_from_slice(&sum.to_be_bytes());
        let key = kdf::derive_key(&self.0, &[b"AES Auth ID Encryption"]);
        encrypt_block(&key, &mut block);
        block
    }
}

impl std::fmt::Debug for CmdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CmdKey(secret)")
    }
}

fn encrypt_block(key: &[u8; 16], block: &mut [u8; 16]) {
    let sealed = UnboundCipherKey::new(&AES_128, key)
        .and_then(EncryptingKey::ecb)
        .and_then(|key| key.encrypt(block));
    sealed.expect("invariant: one block under a key of 16 bytes");
}

/// CRC-32 as of IEEE 802.3, bit by bit: it is used on twelve bytes per connection.
fn crc32(bytes: impl Iterator<Item = u8>) -> u32 {
    let sum = bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
            sum >> 1 ^ carry
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;
    use crate::vmess::vectors::{AUTH_ID, CMD_KEY};

    #[test]
    fn the_checksum_is_that_of_ethernet() {
        assert_eq!(crc32(b"123456789".iter().copied()), 0xcbf4_3926);
    }

    #[test]
    fn the_key_and_the_first_bytes_are_those_of_the_vectors() {
        let key = CmdKey::new(&"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".parse().unwrap());
        assert_eq!(key.as_bytes().as_slice(), hex(CMD_KEY));
        let auth = key.auth_id(1_700_000_000, [1, 2, 3, 4]);
        assert_eq!(auth.as_slice(), hex(AUTH_ID));
    }
}
