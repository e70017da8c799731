//! Datagrams of one size that travel as one packet.

use crate::buffer::Chunk;

/// One datagram, or several of equal size back to back, the last possibly shorter:
/// what UDP segmentation offload carries.
#[derive(Debug)]
pub struct Datagrams {
    content: Chunk,
    segment: usize,
    /// A single empty datagram is content too.
    left: usize,
}

impl Datagrams {
    /// `content` cut every `segment` bytes; 0 means that all of it is one datagram.
    #[must_use]
    pub fn new(content: Chunk, segment: usize) -> Self {
        let segment = if segment == 0 {
            content.len().max(1)
        } else {
            segment
        };
        let left = content.len().div_ceil(segment).max(1);
        Self {
            content,
            segment,
            left,
        }
    }

    /// The next datagram, which stays until [`Self::advance`]; `None` when all are gone.
    #[must_use]
    pub fn front(&self) -> Option<&[u8]> {
        let end = self.segment.min(self.content.len());
        (self.left > 0).then(|| self.content.get(..end).unwrap_or_default())
    }

    /// Drops the next datagram.
    pub fn advance(&mut self) {
        self.content.advance(self.segment);
        self.left = self.left.saturating_sub(1);
    }

    /// How many datagrams are left.
    #[must_use]
    pub fn count(&self) -> usize {
        self.left
    }

    /// The size of each in bytes, of all but the last one.
    #[must_use]
    pub fn segment(&self) -> usize {
        self.segment
    }

    /// All that is left, back to back.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.content
    }

    /// Bytes of pool memory held.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.content.footprint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::BufferPool;

    #[test]
    fn datagrams_come_out_one_by_one() {
        let pool = BufferPool::new();
        let mut datagrams = Datagrams::new(pool.copy(b"aabbc"), 2);
        let mut seen = Vec::new();
        assert_eq!(datagrams.count(), 3);
        while let Some(datagram) = datagrams.front() {
            seen.push(datagram.to_vec());
            datagrams.advance();
        }
        assert_eq!(seen, [b"aa".to_vec(), b"bb".to_vec(), b"c".to_vec()]);
    }

    #[test]
    fn an_empty_datagram_is_one() {
        let pool = BufferPool::new();
        let mut datagrams = Datagrams::new(pool.copy(b""), 0);
        assert_eq!(datagrams.front(), Some(&[][..]));
        datagrams.advance();
        assert_eq!(datagrams.front(), None);
    }
}
