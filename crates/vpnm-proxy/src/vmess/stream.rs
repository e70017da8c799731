//! A TCP flow over VMess.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::Opened;
use super::session::Codec;
use crate::BoxStream;
use crate::answer::{began, malformed};
use crate::buffer::{Incoming, Outgoing};

/// What is sealed at once, in bytes.
const BATCH: usize = 64 * 1024;
/// The size up to which the buffer for reading grows: the longest chunk.
const READ_LIMIT: usize = 2 + 65_535;

/// A flow whose request has been sent.
pub(crate) struct VmessStream {
    inner: BoxStream,
    codec: Codec,
    incoming: Incoming,
    outgoing: Outgoing,
    reading: Reading,
    /// The end of the flow has been sealed.
    finished: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reading {
    /// The response header is not complete.
    Header,
    /// Chunks are to come.
    Chunks,
    /// A chunk is open: this range of what is there is payload not yet read, and so
    /// many bytes are used up with it.
    Payload(Range<usize>, usize),
    /// The flow has ended.
    Ended,
}

impl VmessStream {
    pub(crate) fn new(inner: BoxStream, codec: Codec) -> Self {
        Self {
            inner,
            codec,
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            reading: Reading::Header,
            finished: false,
        }
    }

    /// Opens the next chunk; ready once there is payload to read, or the end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let opened = self.codec.opener.open(self.incoming.filled_mut());
            let need = match opened.map_err(malformed)? {
                Opened::Chunk { payload, used } => {
                    self.reading = Reading::Payload(payload, used);
                    return Poll::Ready(Ok(()));
                }
                Opened::End { used } => {
                    self.incoming.consume(used);
                    self.reading = Reading::Ended;
                    return Poll::Ready(Ok(()));
                }
                Opened::Partial(need) => need,
            };
            let read = self
                .incoming
                .poll_fill(cx, &mut self.inner, need, READ_LIMIT);
            if ready!(read)? == 0 {
                // Servers close without the empty chunk; inside a chunk it is a loss.
                if !self.incoming.is_empty() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.reading = Reading::Ended;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Reads until the response header is complete, and drops it.
pub(super) fn poll_response(
    cx: &mut Context<'_>,
    inner: &mut BoxStream,
    incoming: &mut Incoming,
    codec: &Codec,
) -> Poll<io::Result<()>> {
    loop {
        let header = codec.response.open(incoming.filled());
        if let Some(length) = header.map_err(malformed)? {
            incoming.consume(length);
            return Poll::Ready(Ok(()));
        }
        began(ready!(incoming.poll_fill(cx, inner, 0, READ_LIMIT)))?;
    }
}

impl AsyncRead for VmessStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.reading == Reading::Header {
            let inner = &mut this.inner;
            ready!(poll_response(cx, inner, &mut this.incoming, &this.codec))?;
            this.reading = Reading::Chunks;
        }
        if this.reading == Reading::Chunks {
            ready!(this.poll_chunk(cx))?;
        }
        if let Reading::Payload(payload, used) = &mut this.reading {
            let count = payload.len().min(space.remaining());
            let end = payload.start + count;
            let bytes = this.incoming.filled().get(payload.start..end);
            space.put_slice(bytes.unwrap_or_default());
            payload.start = end;
            if end == payload.end {
                this.incoming.consume(*used);
                this.reading = Reading::Chunks;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for VmessStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.outgoing.poll_drain(cx, &mut this.inner))?;
        let batch = bytes.get(..BATCH).unwrap_or(bytes);
        this.codec.seal(batch, this.outgoing.bytes());
        if let Poll::Ready(result) = this.outgoing.poll_drain(cx, &mut this.inner) {
            result?;
        }
        Poll::Ready(Ok(batch.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.outgoing.poll_flush(cx, &mut this.inner)
    }

    /// Seals the empty chunk that ends the flow, then shuts the transport down.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.finished {
            this.finished = true;
            this.codec.seal_one(&[], this.outgoing.bytes());
        }
        ready!(this.outgoing.poll_flush(cx, &mut this.inner))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
