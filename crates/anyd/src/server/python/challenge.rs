//! The challenge of `multiprocessing.connection` with an authkey: each side
//! proves that it knows the key. A gate in front of the caller's identity,
//! never the authority: old versions of Python have nothing but MD5.
//!
//! Up to CPython 3.11 a challenge is 20 bytes and its answer HMAC-MD5. Since
//! 3.12 the digest's name is in front of both, in braces, and the whole
//! challenge with the name is signed. What is sent here serves both.

use md5::Md5;
use sha2::{Digest, Sha256};

const SHA256: &[u8] = b"{sha256}";
const MD5: &[u8] = b"{md5}";

/// How many random bytes a challenge has.
pub(super) const RANDOM: usize = 40;

/// A challenge of these random bytes.
pub(super) fn challenge(random: &[u8; RANDOM]) -> Vec<u8> {
    [SHA256, random].concat()
}

/// Whether the answer to a challenge proves that the key is known.
pub(super) fn proves(key: &[u8], challenge: &[u8], answer: &[u8]) -> bool {
    if let Some(digest) = answer.strip_prefix(SHA256) {
        return same(digest, &hmac::<Sha256>(key, challenge));
    }
    let digest = answer.strip_prefix(MD5).unwrap_or(answer);
    same(digest, &hmac::<Md5>(key, challenge))
}

/// The answer to a challenge of the client's; `None` for a digest that no
/// CPython asks for by default.
pub(super) fn answer(key: &[u8], challenge: &[u8]) -> Option<Vec<u8>> {
    if challenge.starts_with(SHA256) {
        return Some([SHA256, &hmac::<Sha256>(key, challenge)].concat());
    }
    if challenge.starts_with(MD5) {
        return Some([MD5, &hmac::<Md5>(key, challenge)].concat());
    }
    (challenge.len() == 20).then(|| hmac::<Md5>(key, challenge))
}

/// The block of both digests, in bytes.
const BLOCK: usize = 64;

/// RFC 2104.
fn hmac<D: Digest>(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut padded = if key.len() > BLOCK {
        D::digest(key).to_vec()
    } else {
        key.to_vec()
    };
    padded.resize(BLOCK, 0);
    let pad = |with: u8| -> Vec<u8> { padded.iter().map(|byte| byte ^ with).collect() };
    let inner = D::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    let outer = D::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize();
    outer.to_vec()
}

/// Compares in a time that does not tell where the difference is.
fn same(given: &[u8], right: &[u8]) -> bool {
    let difference = given
        .iter()
        .zip(right)
        .fold(0, |sum, (one, other)| sum | (one ^ other));
    given.len() == right.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_vectors_of_rfc_2202_and_4231() {
        let text = b"what do ya want for nothing?";
        assert_eq!(
            hex(&hmac::<Md5>(b"Jefe", text)),
            "750c783e6ab0b503eaa86e310a5db738"
        );
        assert_eq!(
            hex(&hmac::<Sha256>(b"Jefe", text)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        let long = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(
            hex(&hmac::<Sha256>(&[0xaa; 131], long)),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn old_and_new_answers_prove_the_key_and_a_wrong_one_does_not() {
        let asked = challenge(&[7; RANDOM]);
        let old = hmac::<Md5>(b"key", &asked);
        let new = answer(b"key", &asked).unwrap();
        for right in [&old, &new] {
            assert!(proves(b"key", &asked, right));
            assert!(!proves(b"other", &asked, right));
            assert!(!proves(b"key", &challenge(&[8; RANDOM]), right), "a replay");
            assert!(!proves(b"key", &asked, &right[..right.len() - 1]));
        }
        assert!(!proves(b"key", &asked, b""));
        assert!(!proves(b"key", &asked, SHA256));
    }

    #[test]
    fn each_form_of_challenge_has_its_answer() {
        assert_eq!(answer(b"key", &[1; 20]).unwrap().len(), 16);
        assert_eq!(answer(b"key", b"{md5}xxxx").unwrap().len(), 5 + 16);
        assert_eq!(answer(b"key", b"{sha256}xxxx").unwrap().len(), 8 + 32);
        assert_eq!(answer(b"key", b"{sha3_384}xxxx"), None);
    }
}
