//! Room for the headers of one packet.

/// Most bytes of headers: IPv6, a fragment header and TCP with all its options are 108.
const CAPACITY: usize = 128;

/// The headers of a packet being built; what does not fit is left out, which never
/// happens to headers this crate encodes.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

impl Head {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    /// Appends bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// Overwrites bytes from `at` on, all of which must exist.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        let end = at.saturating_add(bytes.len());
        if end <= self.len
            && let Some(place) = self.bytes.get_mut(at..end)
        {
            place.copy_from_slice(bytes);
        }
    }

    /// The bytes so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
