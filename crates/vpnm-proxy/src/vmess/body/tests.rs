//! Chunks against vectors worked out a second time, in pieces, and broken.

use super::*;
use crate::hex::hex;
use crate::vmess::vectors::{BODY_AES, BODY_CHACHA, BODY_NONE};

const CIPHERS: [(Cipher, &str); 3] = [
    (Cipher::Aes128Gcm, BODY_AES),
    (Cipher::ChaCha20Poly1305, BODY_CHACHA),
    (Cipher::None, BODY_NONE),
];

fn key() -> [u8; 16] {
    std::array::from_fn(|i| 0x10 + u8::try_from(i).unwrap())
}

fn iv() -> [u8; 16] {
    std::array::from_fn(|i| 0x40 + u8::try_from(i).unwrap())
}

fn noise() -> [u8; 64] {
    std::array::from_fn(|i| 0xc0 + u8::try_from(i).unwrap())
}

fn payloads() -> [Vec<u8>; 3] {
    [
        b"hello".to_vec(),
        (0..=255).collect::<Vec<u8>>().repeat(4),
        Vec::new(),
    ]
}

/// Everything that an opener makes of `bytes`, offered in pieces; true if it saw the end.
fn open(cipher: Cipher, bytes: &[u8], piece: usize) -> Result<(Vec<Vec<u8>>, bool), BodyError> {
    let mut opener = Opener::new(cipher, &key(), iv());
    let (mut waiting, mut payloads) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        waiting.extend_from_slice(piece);
        loop {
            match opener.open(&mut waiting)? {
                Opened::Partial(need) => {
                    assert!(need > waiting.len(), "more is needed than is there");
                    break;
                }
                Opened::Chunk { payload, used } => {
                    payloads.push(waiting[payload].to_vec());
                    waiting.drain(..used);
                }
                Opened::End { used } => {
                    waiting.drain(..used);
                    return Ok((payloads, waiting.is_empty()));
                }
            }
        }
    }
    Ok((payloads, false))
}

#[test]
fn chunks_are_those_of_the_vectors() {
    for (cipher, vector) in CIPHERS {
        let mut sealer = Sealer::new(cipher, &key(), iv());
        let mut bytes = Vec::new();
        for payload in payloads() {
            assert_eq!(sealer.seal(&payload, &noise(), &mut bytes), payload.len());
        }
        assert_eq!(bytes, hex(vector), "{cipher:?}");
        for piece in [1, 7, 5000] {
            let opened = open(cipher, &bytes, piece);
            assert_eq!(opened, Ok((payloads()[..2].to_vec(), true)), "{cipher:?}");
        }
    }
}

#[test]
fn the_longest_payload_fits_whatever_its_padding() {
    for (cipher, _) in CIPHERS {
        let mut sealer = Sealer::new(cipher, &key(), iv());
        let mut bytes = Vec::new();
        let payload = vec![7; MAX_PAYLOAD + 1];
        for _ in 0..100 {
            assert_eq!(sealer.seal(&payload, &noise(), &mut bytes), MAX_PAYLOAD);
        }
        let (payloads, ended) = open(cipher, &bytes, usize::MAX).unwrap();
        assert_eq!((payloads.len(), ended), (100, false));
    }
}

#[test]
fn the_counter_wraps() {
    let mut sealer = Sealer::new(Cipher::Aes128Gcm, &key(), iv());
    let mut opener = Opener::new(Cipher::Aes128Gcm, &key(), iv());
    for _ in 0..=65_536 {
        let mut bytes = Vec::new();
        sealer.seal(b"x", &noise(), &mut bytes);
        let opened = opener.open(&mut bytes).unwrap();
        let used = bytes.len();
        assert_eq!(
            opened,
            Opened::Chunk {
                payload: 2..3,
                used
            }
        );
    }
}

#[test]
fn a_change_anywhere_but_in_the_padding_is_noticed() {
    let mut sealer = Sealer::new(Cipher::Aes128Gcm, &key(), iv());
    let mut bytes = Vec::new();
    sealer.seal(b"hello", &[0; 64], &mut bytes);
    for at in 2..2 + 5 + 16 {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(
            open(Cipher::Aes128Gcm, &changed, 100),
            Err(BodyError::Sealed),
            "{at}"
        );
    }
}

#[test]
fn a_chunk_too_short_for_its_tag_is_refused() {
    let mut sealer = Sealer::new(Cipher::Aes128Gcm, &key(), iv());
    let mut bytes = Vec::new();
    sealer.seal(b"", &noise(), &mut bytes);
    let length = u16::from_be_bytes([bytes[0], bytes[1]]);
    let masked = u16::try_from(bytes.len() - 2).unwrap() ^ length;
    let [high, low] = (15 ^ masked).to_be_bytes();
    let short = [high, low, 0, 0];
    assert_eq!(open(Cipher::Aes128Gcm, &short, 100), Err(BodyError::Short));
}

#[test]
fn without_chunks_the_bytes_pass() {
    let mut sealer = Sealer::new(Cipher::Zero, &key(), iv());
    let mut bytes = Vec::new();
    sealer.seal(b"hello", &noise(), &mut bytes);
    sealer.seal(b"", &noise(), &mut bytes);
    assert_eq!(bytes, b"hello");
    assert_eq!(
        open(Cipher::Zero, &bytes, 100),
        Ok((vec![b"hello".to_vec()], false))
    );
}

#[test]
fn no_bytes_make_the_opener_panic() {
    crate::corpus::replay("vmess-body", |bytes| {
        for cipher in [
            Cipher::Aes128Gcm,
            Cipher::ChaCha20Poly1305,
            Cipher::None,
            Cipher::Zero,
        ] {
            drop(open(cipher, bytes, 31));
        }
    });
}
