//! The chunks that a flow is cut into.
//!
//! A chunk is `length u16 | sealed payload | padding`. The length is masked and the
//! padding measured by one stream of SHAKE128 that both ends draw from: for each
//! chunk first the padding, then the mask. An empty payload is the end.

use std::ops::Range;

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use shake::Shake128;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};

use super::cipher::Cipher;

/// The longest padding and one more.
const PADDING: u16 = 64;
/// The length of an AEAD tag.
const TAG: usize = 16;
/// The longest payload that fits a chunk whatever its padding.
pub const MAX_PAYLOAD: usize = 65_535 - TAG - 63;

/// Why bytes are no chunk of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The length leaves no room for what a chunk must have.
    #[error("a chunk is shorter than its padding and tag")]
    Short,
    /// The payload is not sealed with the keys of the flow, or was changed.
    #[error("a chunk is not sealed with the keys of the flow")]
    Sealed,
}

/// What is at the beginning of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// Part of a chunk: it takes so many bytes in all.
    Partial(usize),
    /// Payload, opened in place at this range; so many bytes are used up.
    Chunk {
        /// Where the payload is.
        payload: Range<usize>,
        /// How long the chunk is.
        used: usize,
    },
    /// The end of the flow; so many bytes are used up.
    End {
        /// How long the last chunk is.
        used: usize,
    },
}

/// Seals one direction of a flow.
#[derive(Debug)]
pub struct Sealer(Option<Chain>);

/// Opens one direction of a flow.
#[derive(Debug)]
pub struct Opener {
    chain: Option<Chain>,
    /// What was drawn for the chunk under way, and its length.
    drawn: Option<Drawn>,
}

#[derive(Debug, Clone, Copy)]
struct Drawn {
    padding: usize,
    length: usize,
}

/// What both ends keep in step, chunk by chunk.
struct Chain {
    key: Option<LessSafeKey>,
    iv: [u8; 16],
    counter: u16,
    draws: <Shake128 as shake::digest::ExtendableOutput>::Reader,
    pads: bool,
}

impl Chain {
    fn new(cipher: Cipher, key: &[u8; 16], iv: [u8; 16]) -> Option<Self> {
        if cipher == Cipher::Zero {
            return None;
        }
        let key = cipher.key(key);
        let mut shake = Shake128::default();
        shake.update(&iv);
        Some(Self {
            pads: key.is_some(),
            key,
            iv,
            counter: 0,
            draws: shake.finalize_xof(),
        })
    }

    fn draw(&mut self) -> u16 {
        let mut bytes = [0; 2];
        self.draws.read(&mut bytes);
        u16::from_be_bytes(bytes)
    }

    /// The padding and the mask of the next chunk.
    fn next(&mut self) -> (usize, u16) {
        let padding = if self.pads { self.draw() % PADDING } else { 0 };
        (padding.into(), self.draw())
    }

    fn tag(&self) -> usize {
        if self.key.is_some() { TAG } else { 0 }
    }

    fn nonce(&mut self) -> Nonce {
        let [high, low] = self.counter.to_be_bytes();
        self.counter = self.counter.wrapping_add(1);
        let [_, _, a, b, c, d, e, f, g, h, i, j, ..] = self.iv;
        Nonce::assume_unique_for_key([high, low, a, b, c, d, e, f, g, h, i, j])
    }
}

impl Sealer {
    /// For the direction that `key` and `iv` are the secrets of.
    #[must_use]
    pub fn new(cipher: Cipher, key: &[u8; 16], iv: [u8; 16]) -> Self {
        Self(Chain::new(cipher, key, iv))
    }

    /// Whether an empty payload tells the other side that the flow ends.
    #[must_use]
    pub const fn marks_the_end(&self) -> bool {
        self.0.is_some()
    }

    /// Appends one chunk; `noise` is what a padding is made of.
    ///
    /// At most [`MAX_PAYLOAD`] bytes of payload are taken; says how many. An empty
    /// payload is the end.
    pub fn seal(&mut self, payload: &[u8], noise: &[u8; 64], out: &mut Vec<u8>) -> usize {
        let Some(chain) = &mut self.0 else {
            out.extend_from_slice(payload);
            return payload.len();
        };
        let count = payload.len().min(MAX_PAYLOAD);
        let payload = payload.get(..count).unwrap_or_default();
        let (padding, mask) = chain.next();
        let length = u16::try_from(count + chain.tag() + padding);
        let length = length.expect("invariant: the payload is at most MAX_PAYLOAD") ^ mask;
        let nonce = chain.nonce();
        out.reserve(2 + count + TAG + padding);
        out.extend(length.to_be_bytes());
        let start = out.len();
        out.extend_from_slice(payload);
        if let (Some(key), Some(sealed)) = (&chain.key, out.get_mut(start..)) {
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), sealed);
            out.extend(tag.expect("invariant: the payload is short").as_ref());
        }
        out.extend_from_slice(noise.get(..padding).unwrap_or_default());
        count
    }
}

impl Opener {
    /// For the direction that `key` and `iv` are the secrets of.
    #[must_use]
    pub fn new(cipher: Cipher, key: &[u8; 16], iv: [u8; 16]) -> Self {
        Self {
            chain: Chain::new(cipher, key, iv),
            drawn: None,
        }
    }

    /// Opens what is at the beginning of `bytes`.
    ///
    /// # Errors
    /// [`BodyError`], after which the flow is of no use.
    pub fn open(&mut self, bytes: &mut [u8]) -> Result<Opened, BodyError> {
        let Some(chain) = &mut self.chain else {
            return Ok(raw(bytes));
        };
        let drawn = match self.drawn {
            Some(drawn) => drawn,
            None => {
                let Some(length) = bytes.first_chunk::<2>() else {
                    return Ok(Opened::Partial(2));
                };
                let (padding, mask) = chain.next();
                let length = usize::from(u16::from_be_bytes(*length) ^ mask);
                *self.drawn.insert(Drawn { padding, length })
            }
        };
        let used = 2 + drawn.length;
        let least = drawn.padding + chain.tag();
        let payload = drawn.length.checked_sub(least).ok_or(BodyError::Short)?;
        if bytes.len() < used {
            return Ok(Opened::Partial(used));
        }
        self.drawn = None;
        let nonce = chain.nonce();
        if let (Some(key), Some(sealed)) = (&chain.key, bytes.get_mut(2..2 + payload + TAG)) {
            let opened = key.open_in_place(nonce, Aad::empty(), sealed);
            opened.map_err(|_| BodyError::Sealed)?;
        }
        if payload == 0 {
            return Ok(Opened::End { used });
        }
        let payload = 2..2 + payload;
        Ok(Opened::Chunk { payload, used })
    }
}

/// A flow without chunks: whatever is there is payload.
fn raw(bytes: &[u8]) -> Opened {
    match bytes.len() {
        0 => Opened::Partial(1),
        used => Opened::Chunk {
            payload: 0..used,
            used,
        },
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chain").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
