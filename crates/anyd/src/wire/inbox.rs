//! Bytes as they arrive, cut into messages.

use super::END;

/// A place in the inbox: valid until room is made for more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    start: usize,
    end: usize,
}

/// The message is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Collects bytes up to a limit. Memory grows with what has arrived, never
/// with what is announced.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// Always as long as its room; zeroed once, when it grows.
    buffer: Vec<u8>,
    start: usize,
    filled: usize,
    /// No end of a message before this place.
    scanned: usize,
    limit: usize,
}

/// The room of a connection with short messages.
const SMALL: usize = 4096;

impl Inbox {
    /// For messages of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            filled: 0,
            scanned: 0,
            limit,
        }
    }

    /// Room for the next bytes, never empty.
    pub(crate) fn room(&mut self) -> Result<&mut [u8], TooLong> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.filled -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.filled == self.buffer.len() {
            let most = self.limit.saturating_add(1);
            if self.filled >= most {
                return Err(TooLong);
            }
            let wanted = self.buffer.len().saturating_mul(2).max(SMALL);
            self.buffer.resize(wanted.min(most), 0);
        }
        self.buffer.get_mut(self.filled..).ok_or(TooLong)
    }

    /// Counts bytes that have been put into the room.
    pub(crate) fn arrived(&mut self, count: usize) {
        self.filled = self.buffer.len().min(self.filled + count);
    }

    /// The next whole message, if there is one.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let fresh = self.buffer.get(self.scanned..self.filled)?;
        let Some(length) = memchr::memchr(END, fresh) else {
            self.scanned = self.filled;
            return None;
        };
        let message = Message {
            start: self.start,
            end: self.scanned + length,
        };
        self.start = message.end + 1;
        self.scanned = self.start;
        if self.start == self.filled {
            // Nothing follows: the next bytes need not be moved to the front.
            self.start = 0;
            self.filled = 0;
            self.scanned = 0;
        }
        Some(message)
    }

    /// The bytes of a message, without its end.
    pub(crate) fn bytes(&self, message: Message) -> &[u8] {
        self.buffer
            .get(message.start..message.end)
            .unwrap_or_default()
    }

    /// Whether nothing has arrived but what has been taken out.
    #[cfg(any(feature = "client", feature = "blocking"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.filled
    }

    /// What has arrived of the message that has not ended.
    #[cfg(feature = "server")]
    pub(crate) fn begun(&self) -> &[u8] {
        self.buffer.get(self.start..self.filled).unwrap_or_default()
    }

    /// Gives back the memory that a large message needed.
    #[cfg(feature = "server")]
    pub(crate) fn shrink(&mut self) {
        if self.filled == 0 && self.buffer.len() > SMALL {
            self.buffer = Vec::new();
        }
    }

    /// Whether it holds more memory than a quiet connection should.
    #[cfg(feature = "server")]
    pub(crate) fn is_large(&self) -> bool {
        self.buffer.len() > 16 * SMALL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Inbox {
        /// Appends bytes that were read elsewhere.
        fn append(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
            while !bytes.is_empty() {
                let room = self.room()?;
                let count = room.len().min(bytes.len());
                let (now, later) = bytes.split_at(count);
                if let Some(place) = room.get_mut(..count) {
                    place.copy_from_slice(now);
                }
                self.arrived(count);
                bytes = later;
            }
            Ok(())
        }
    }

    fn drain(inbox: &mut Inbox) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        while let Some(message) = inbox.next() {
            messages.push(inbox.bytes(message).to_vec());
        }
        messages
    }

    #[test]
    fn every_cut_of_the_bytes_gives_the_same_messages() {
        let bytes = b"{}\0{\"a\":1}\0\0{\"long\":\"xxxxxxxx\"}\0";
        let expected: Vec<&[u8]> = vec![b"{}", b"{\"a\":1}", b"", b"{\"long\":\"xxxxxxxx\"}"];
        for size in 1..=bytes.len() {
            let mut inbox = Inbox::new(64);
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                inbox.append(piece).unwrap();
                got.extend(drain(&mut inbox));
            }
            assert_eq!(got, expected, "pieces of {size}");
            assert!(inbox.begun().is_empty());
        }
    }

    #[test]
    fn a_message_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
        let mut inbox = Inbox::new(8);
        inbox.append(b"12345678\0").unwrap();
        assert_eq!(drain(&mut inbox), [b"12345678"]);
        inbox.append(b"123456789").unwrap();
        assert_eq!(inbox.next(), None);
        assert_eq!(inbox.append(b"0"), Err(TooLong));
    }

    #[test]
    fn memory_grows_with_what_arrived() {
        let mut inbox = Inbox::new(1 << 30);
        inbox.append(&[b'x'; 5000]).unwrap();
        assert_eq!(inbox.buffer.len(), 8192);
        assert!(!inbox.is_large());
    }

    #[test]
    fn a_quiet_inbox_gives_its_memory_back() {
        let mut inbox = Inbox::new(1 << 20);
        inbox.append(&[b'x'; 100_000]).unwrap();
        inbox.shrink();
        assert!(inbox.is_large(), "a message has begun");
        inbox.append(b"\0").unwrap();
        assert_eq!(drain(&mut inbox).len(), 1);
        inbox.shrink();
        assert_eq!(inbox.buffer.capacity(), 0);
    }
}
