//! The key derivation: HMACs nested in each other.

use aws_lc_rs::digest::{Context, SHA256};

/// The key of the innermost HMAC.
const SALT: &[u8] = b"VMess AEAD KDF";
/// The block length of SHA-256, and with it of every hash built on it here.
const BLOCK: usize = 64;

/// Derives 32 bytes from a key and a path of labels.
///
/// HMAC-SHA-256 keyed with a constant is the first hash; each label keys an HMAC
/// (RFC 2104) that uses the hash before it where HMAC has its hash function.
pub(super) fn derive(key: &[u8], path: &[&[u8]]) -> [u8; 32] {
    hash(path, &[key])
}

/// The first 16 bytes of [`derive()`], for AES-128.
pub(super) fn derive_key(key: &[u8], path: &[&[u8]]) -> [u8; 16] {
    prefix(&derive(key, path))
}

/// The first 12 bytes of [`derive()`], for nonces.
pub(super) fn derive_nonce(key: &[u8], path: &[&[u8]]) -> [u8; 12] {
    prefix(&derive(key, path))
}

fn prefix<const N: usize>(bytes: &[u8; 32]) -> [u8; N] {
    *bytes
        .first_chunk()
        .expect("invariant: no prefix is longer than 32 bytes")
}

/// The hash that a path of labels stands for, over the concatenation of `parts`.
fn hash(path: &[&[u8]], parts: &[&[u8]]) -> [u8; 32] {
    match path.split_last() {
        None => hmac(SALT, parts, sha256),
        Some((label, before)) => hmac(label, parts, |parts| hash(before, parts)),
    }
}

fn hmac(key: &[u8], parts: &[&[u8]], hash: impl Fn(&[&[u8]]) -> [u8; 32]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        let short = hash(&[key]);
        for (to, from) in block.iter_mut().zip(short) {
            *to = from;
        }
    } else {
        for (to, from) in block.iter_mut().zip(key) {
            *to = *from;
        }
    }
    let inner_pad = block.map(|byte| byte ^ 0x36);
    let outer_pad = block.map(|byte| byte ^ 0x5c);
    let mut message = Vec::with_capacity(1 + parts.len());
    message.push(inner_pad.as_slice());
    message.extend_from_slice(parts);
    let inner = hash(&message);
    hash(&[&outer_pad, &inner])
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let digest = context.finish();
    *digest
        .as_ref()
        .first_chunk()
        .expect("invariant: SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;
    use crate::vmess::vectors::{KDF_0, KDF_1, KDF_3};

    #[test]
    fn the_path_nests() {
        assert_eq!(derive(b"key", &[]).as_slice(), hex(KDF_0));
        assert_eq!(derive(b"key", &[b"a"]).as_slice(), hex(KDF_1));
        assert_eq!(
            derive(b"key", &[b"a", b"b", &[7; 80]]).as_slice(),
            hex(KDF_3)
        );
    }
}
