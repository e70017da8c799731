//! Datagrams that travel together.

/// Most datagrams in one run: what the oldest kernels with UDP segmentation take.
const MAX_COUNT: usize = 64;
/// Most bytes of one run: the longest UDP payload over IPv4, less what IPv6 needs more.
const MAX_BYTES: usize = 65_535 - 48;

/// Datagrams of one size back to back, the last possibly shorter: what one system call
/// or one super-packet carries.
#[derive(Debug, Default)]
pub(crate) struct Run {
    bytes: Vec<u8>,
    /// The size of each in bytes, of all but the last one.
    segment: usize,
    count: usize,
    /// A shorter one ended it.
    is_complete: bool,
}

impl Run {
    /// Whether a datagram of `length` bytes can be appended. The first always can.
    pub(crate) fn takes(&self, length: usize) -> bool {
        self.count == 0
            || !self.is_complete
                && (1..=self.segment).contains(&length)
                && self.count < MAX_COUNT
                && self.bytes.len() + length <= MAX_BYTES
    }

    /// Appends a datagram of two pieces that [`Self::takes`] allows.
    pub(crate) fn push(&mut self, pieces: [&[u8]; 2]) {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        debug_assert!(self.takes(length), "the run is complete");
        if self.count == 0 {
            self.segment = length;
        }
        self.count += 1;
        self.is_complete = length < self.segment;
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
        self.segment = 0;
        self.is_complete = false;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All datagrams, back to back.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The size of each in bytes, of all but the last one; 0 only for one empty datagram.
    pub(crate) fn segment(&self) -> usize {
        self.segment
    }
}

/// Room through which the datagrams of all flows of a thread pass: none outlives the call
/// that moves it, and 64 KiB for each of thousands of flows would be most of the memory.
#[derive(Debug)]
pub(crate) struct Space {
    /// Room for the longest datagram.
    pub(crate) datagram: Box<[u8]>,
    /// Datagrams that wait for more of their kind.
    pub(crate) run: Run,
}

impl Default for Space {
    fn default() -> Self {
        Self {
            datagram: vec![0; 65_536].into_boxed_slice(),
            run: Run::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shorter_one_is_the_last() {
        let mut run = Run::default();
        for payload in [&b"abcd"[..], b"efgh", b"ij"] {
            assert!(run.takes(4 + payload.len()));
            run.push([b"head", payload]);
        }
        assert!(!run.takes(8) && !run.takes(6));
        assert_eq!((run.segment(), run.bytes().len()), (8, 22));
        run.clear();
        assert!(run.is_empty() && run.takes(65_507));
    }

    #[test]
    fn a_longer_or_an_empty_one_begins_another() {
        let mut run = Run::default();
        run.push([b"", b"abcd"]);
        assert!(!run.takes(5) && !run.takes(0) && run.takes(4));
        let mut empty = Run::default();
        empty.push([b"", b""]);
        assert!(!empty.takes(0) && !empty.takes(1));
        assert!(!empty.is_empty());
    }

    #[test]
    fn a_run_is_one_packet_at_most() {
        for size in [1, 64, 1_472, 9_000, 40_000] {
            let mut run = Run::default();
            let datagram = vec![0; size];
            while run.takes(size) {
                run.push([&[], &datagram]);
            }
            assert!(run.bytes().len() <= MAX_BYTES.max(size));
            assert!(run.bytes().len() <= MAX_COUNT * size);
        }
    }
}
