//! The bytes of a connection that are sent or to be sent, in the buffers they came in.

use std::collections::VecDeque;

use vpnm_wire::{BufferPool, Chunk, LARGE, SMALL};

/// What is not longer than this is copied to where there is room for it.
const WORTH_KEEPING: usize = SMALL / 2;

/// Bytes sent and not acknowledged, then bytes not yet sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    chunks: VecDeque<Chunk>,
    pub(super) bytes: usize,
}

impl Queue {
    pub(super) fn push_copy(&mut self, bytes: &[u8], pool: &BufferPool) {
        self.bytes += bytes.len();
        let mut rest = bytes;
        if let Some(last) = self.chunks.back_mut() {
            let count = last.append(rest);
            rest = rest.get(count..).unwrap_or_default();
        }
        while !rest.is_empty() {
            let last = self.chunks.back().map_or(0, Chunk::footprint);
            let mut chunk = Chunk::empty(pool.fitting(rest.len().max(last + 1).min(LARGE)));
            let count = chunk.append(rest);
            rest = rest.get(count..).unwrap_or_default();
            self.chunks.push_back(chunk);
        }
    }

    pub(super) fn push(&mut self, bytes: Chunk) {
        self.bytes += bytes.len();
        // A few bytes alone would pin a buffer, and end a packet that more fit into.
        if bytes.len() <= WORTH_KEEPING
            && let Some(last) = self.chunks.back_mut()
            && last.room() >= bytes.len()
        {
            last.append(&bytes);
            return;
        }
        self.chunks.push_back(bytes);
    }

    pub(super) fn drop_front(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(first) = self.chunks.front_mut() {
            if first.len() > count {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.chunks.pop_front();
        }
        self.chunks = VecDeque::new();
    }

    /// How many bytes from `offset` on two pieces hold.
    pub(super) fn reach(&self, offset: usize) -> usize {
        self.slices(offset, usize::MAX)
            .iter()
            .map(|piece| piece.len())
            .sum()
    }

    /// At most `len` bytes from `offset` on, in two pieces.
    pub(super) fn slices(&self, mut offset: usize, len: usize) -> [&[u8]; 2] {
        let mut pieces = [&[][..]; 2];
        let mut left = len;
        let mut chunks = self.chunks.iter();
        for piece in &mut pieces {
            let chunk = loop {
                match chunks.next() {
                    Some(chunk) if chunk.len() <= offset => offset -= chunk.len(),
                    Some(chunk) => break chunk,
                    None => return pieces,
                }
            };
            let available = chunk.get(offset..).unwrap_or_default();
            offset = 0;
            *piece = available.get(..left).unwrap_or(available);
            left -= piece.len();
            if left == 0 {
                break;
            }
        }
        pieces
    }
}
