//! A TCP flow over VMess.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::body::{BodyError, Opened};
use super::session::Codec;
use crate::answer::{began, malformed};
use crate::buffer::{BATCH, Incoming, Outgoing};
use crate::{BoxStream, Stream};

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
    /// A chunk was none.
    Failed(BodyError),
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

    /// Opens the next chunk if all of it is there, else says how many bytes it takes.
    fn next_chunk(&mut self) -> Result<(), usize> {
        self.reading = match self.codec.opener.open(self.incoming.filled_mut()) {
            Ok(Opened::Chunk { payload, used }) => Reading::Payload(payload, used),
            Ok(Opened::End { used }) => {
                self.incoming.consume(used);
                Reading::Ended
            }
            Ok(Opened::Partial(need)) => return Err(need),
            Err(error) => Reading::Failed(error),
        };
        Ok(())
    }

    /// Reads more of a chunk that takes `need` bytes.
    fn poll_more(&mut self, cx: &mut Context<'_>, need: usize) -> Poll<io::Result<()>> {
        let read = self
            .incoming
            .poll_fill(cx, &mut self.inner, need, READ_LIMIT);
        if ready!(read)? == 0 {
            // Servers close without the empty chunk; inside a chunk it is a loss.
            if !self.incoming.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.reading = Reading::Ended;
        }
        Poll::Ready(Ok(()))
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
        let before = space.filled().len();
        // Servers send chunks of 2 KiB: as many as fit and are there come at once.
        while space.remaining() > 0 {
            match &mut this.reading {
                Reading::Payload(payload, used) => {
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
                Reading::Chunks => {
                    if let Err(need) = this.next_chunk() {
                        if space.filled().len() > before {
                            break;
                        }
                        ready!(this.poll_more(cx, need))?;
                    }
                }
                Reading::Failed(error) if space.filled().len() == before => {
                    return Poll::Ready(Err(malformed(*error)));
                }
                Reading::Header | Reading::Ended | Reading::Failed(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for VmessStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self {
            codec,
            inner,
            outgoing,
            ..
        } = &mut *self;
        outgoing.poll_seal(cx, inner, (pieces, BATCH), |batch, out| {
            codec.seal(batch, out);
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.outgoing.poll_flush(cx, &mut this.inner)
    }

    /// Seals the empty chunk that ends the flow.
    ///
    /// Only where there is no such chunk, or where the other side has ended too, is the
    /// transport shut down: v2ray reads nothing behind that chunk, and closing a socket
    /// with something unread resets the connection under what it still sends.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.finished {
            this.finished = true;
            this.codec.seal_one(&[], this.outgoing.bytes());
        }
        ready!(this.outgoing.poll_flush(cx, &mut this.inner))?;
        if this.codec.marks_the_end() && this.reading != Reading::Ended {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

impl Stream for VmessStream {
    fn break_off(&mut self) {
        self.inner.break_off();
    }
}
