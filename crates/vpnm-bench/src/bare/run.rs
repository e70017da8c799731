//! Datagrams of one size back to back, which the kernel is handed as one.

/// Most datagrams of a run: what the oldest kernels with UDP segmentation take.
pub(super) const MOST: usize = 64;
/// Most bytes of a run: the longest payload over IPv4.
const MOST_BYTES: usize = 65_507;

/// Datagrams that wait for others of their size.
#[derive(Debug)]
pub(super) struct Run {
    bytes: Vec<u8>,
    /// Bytes kept free in front of them.
    front: usize,
    most: usize,
    count: usize,
    size: usize,
}

impl Run {
    /// Room for `most` datagrams behind `front` bytes.
    pub(super) fn new(front: usize, most: usize) -> Self {
        Self {
            bytes: vec![0; front],
            front,
            most,
            count: 0,
            size: 0,
        }
    }

    /// Appends a datagram of two pieces; `false` if what is there must be sent first.
    pub(super) fn push(&mut self, pieces: [&[u8]; 2]) -> bool {
        let size = pieces.iter().map(|piece| piece.len()).sum();
        let fits = size == self.size && self.count < self.most && self.len() + size <= MOST_BYTES;
        if self.count > 0 && !fits {
            return false;
        }
        self.size = size;
        self.count += 1;
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        true
    }

    /// Whether there is nothing to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of each datagram.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Bytes of all datagrams.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.front
    }

    /// All datagrams behind `head`, which is as long as what was kept free.
    pub(super) fn behind(&mut self, head: &[u8]) -> &[u8] {
        if let Some(front) = self.bytes.get_mut(..head.len()) {
            front.copy_from_slice(head);
        }
        &self.bytes
    }

    /// Takes all datagrams out.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(self.front);
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_of_one_size_stand_behind_their_head() {
        let mut run = Run::new(4, 3);
        assert!(run.is_empty());
        assert!(run.push([b"a", b"bc"]) && run.push([b"", b"def"]));
        assert!(!run.push([b"", b"g"]), "of another size");
        assert!(run.push([b"gh", b"i"]) && !run.push([b"jk", b"l"]), "full");
        assert_eq!((run.size(), run.len()), (3, 9));
        assert_eq!(run.behind(b"head"), b"headabcdefghi");
        run.clear();
        assert!(run.is_empty() && run.push([b"", b"g"]));
        assert_eq!(run.behind(b"HEAD"), b"HEADg");
    }

    #[test]
    fn a_run_is_one_packet_at_most() {
        let mut run = Run::new(0, MOST);
        let datagram = [0; 1_472];
        while run.push([&[], &datagram]) {}
        assert_eq!(run.len(), 44 * 1_472);
    }
}
