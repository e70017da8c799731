//! Bytes between a transport and a codec.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes read and not yet understood. Grows with what is read, up to a limit, and is
/// given back while nothing is there and nothing comes: an idle flow holds no buffer.
#[derive(Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled all the space there was.
    was_full: bool,
    /// The size to begin with after the space was given back.
    hint: usize,
}

/// The first size of a buffer.
const LEAST: usize = 4 * 1024;

impl From<&[u8]> for Incoming {
    fn from(bytes: &[u8]) -> Self {
        Self {
            start: 0,
            end: bytes.len(),
            bytes: bytes.to_vec(),
            was_full: false,
            hint: 0,
        }
    }
}

impl Incoming {
    /// The bytes that are there.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The bytes that are there, to be opened in place.
    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Drops bytes from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start, "only what is there");
        self.start = self.end.min(self.start + count);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Moves as much as fits to the reader.
    pub(crate) fn drain_into(&mut self, space: &mut ReadBuf<'_>) {
        let count = space.remaining().min(self.end - self.start);
        space.put_slice(self.filled().get(..count).unwrap_or_default());
        self.consume(count);
    }

    /// Adds bytes at the end.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.end);
        self.bytes.extend_from_slice(bytes);
        self.end = self.bytes.len();
    }

    /// Reads once, and says how many bytes came: 0 at the end of the stream.
    ///
    /// Makes sure that `need` bytes fit; beyond that the space doubles whenever a
    /// read has filled it, up to `limit`.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        need: usize,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_space(need, limit);
        let mut space = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        let read = Pin::new(stream).poll_read(cx, &mut space);
        let count = space.filled().len();
        if read.is_pending() && self.is_empty() {
            self.give_back();
        }
        ready!(read)?;
        self.end += count;
        self.was_full = self.end == self.bytes.len();
        Poll::Ready(Ok(count))
    }

    fn give_back(&mut self) {
        *self = Self {
            hint: self.bytes.len() / 2,
            ..Self::default()
        };
    }

    fn make_space(&mut self, need: usize, limit: usize) {
        let crowded = self.end == self.bytes.len() || self.start + need > self.bytes.len();
        if self.start > 0 && crowded {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let mut size = self.bytes.len().max(need).max(LEAST).max(self.end + 1);
        if self.bytes.is_empty() {
            size = size.max(self.hint);
        }
        if self.was_full {
            size = size.max((2 * self.bytes.len()).min(limit));
        }
        if size > self.bytes.len() {
            self.bytes.resize(size, 0);
        }
    }
}

/// What is kept of a buffer for writing once all of it is flushed.
const KEPT: usize = 4 * 1024;

/// What is sealed at once, in bytes: four packets of the longest kind. A flow whose
/// transport stands still holds no more than this.
pub(crate) const BATCH: usize = 256 * 1024;

/// The first [`BATCH`] bytes of all pieces.
pub(crate) fn batch<'a>(pieces: &'a [IoSlice<'_>]) -> impl Iterator<Item = &'a [u8]> {
    let mut left = BATCH;
    pieces.iter().map_while(move |piece| {
        let part = piece.get(..left).unwrap_or(piece);
        let more = left > 0;
        left -= part.len();
        more.then_some(part)
    })
}

/// Bytes ready for the transport. Once they are flushed the buffer is given back.
///
/// The transport remembers one waker for writing. Two tasks may want it: the one
/// who writes, and the one who reads and has an answer to send. Whoever takes the
/// other's place wakes it later.
#[derive(Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
    unflushed: bool,
    writer: Option<Waker>,
}

impl Outgoing {
    /// Where codecs append.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        self.unflushed = true;
        &mut self.bytes
    }

    /// How many bytes are not with the transport yet.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Hands everything to the transport.
    pub(crate) fn poll_drain<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let drained = self.poll_write_out(cx, stream);
        self.writer = drained.is_pending().then(|| cx.waker().clone());
        drained
    }

    /// Takes at most [`BATCH`] bytes of `pieces` to be sealed by `seal`, `most` at a time,
    /// once nothing older waits, and says how many were taken. What is sealed is handed on
    /// at once, as far as it goes.
    pub(crate) fn poll_seal<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        (pieces, most): (&[IoSlice<'_>], usize),
        mut seal: impl FnMut(&[u8], &mut Vec<u8>),
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx, stream))?;
        let mut taken = 0;
        for part in batch(pieces).flat_map(|piece| piece.chunks(most)) {
            seal(part, self.bytes());
            taken += part.len();
        }
        if let Poll::Ready(drained) = self.poll_drain(cx, stream) {
            drained?;
        }
        Poll::Ready(Ok(taken))
    }

    /// Hands everything to the transport and has it do the same.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let flushed = self.poll_flush_out(cx, stream);
        self.writer = flushed.is_pending().then(|| cx.waker().clone());
        flushed
    }

    /// Flushes as far as it goes, while the task does something else.
    pub(crate) fn flush_aside<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> io::Result<()> {
        if !self.unflushed {
            return Ok(());
        }
        if let Poll::Ready(flushed) = self.poll_flush_out(cx, stream) {
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
            flushed?;
        }
        Ok(())
    }

    fn poll_flush_out<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_write_out(cx, stream))?;
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.unflushed = false;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_out<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.bytes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
