//! TCP flows as the rest of the engine sees them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use vpnm_netstack::{Cause, FlowId, Refusal, Sent, Taken};
use vpnm_wire::Chunk;

use super::net::Net;

/// Most bytes that one packet can carry, over IPv4 and over IPv6: one read of this
/// size becomes one write.
const PACKETFUL: usize = 65_480;
/// A read that fills less than this of its buffer is copied, so that little data does
/// not pin much memory.
const WORTH_HANDING_OVER: usize = 16 * 1024;

/// A connection attempt whose handshake is held.
pub struct TcpIncoming {
    /// The application's end.
    pub source: SocketAddr,
    /// Where it wants to go.
    pub destination: SocketAddr,
    pub(super) net: Rc<Net>,
    pub(super) id: FlowId,
    pub(super) decided: bool,
}

/// An accepted TCP connection of an application; reading yields what it sends.
///
/// Shutting the write side sends a FIN after all data; end of file means that the
/// application did the same. Dropping a flow that did not end in both directions
/// resets it, as `SO_LINGER 0` would. A reset by the application is
/// [`io::ErrorKind::ConnectionReset`] on both sides.
pub struct TcpFlow {
    source: SocketAddr,
    destination: SocketAddr,
    net: Rc<Net>,
    id: FlowId,
    /// Received bytes being read.
    current: Option<Chunk>,
}

/// Which side of [`TcpFlow::poll_fill_from`] broke.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// The application's side is gone.
    #[error("the application's side of the flow is gone")]
    Flow(#[source] io::Error),
    /// The source could not be read.
    #[error("the source of the flow's data broke")]
    Source(#[source] io::Error),
}

impl TcpIncoming {
    /// Lets the handshake complete.
    #[must_use]
    pub fn accept(mut self) -> TcpFlow {
        self.decided = true;
        self.net.act(|stack, now| stack.tcp_accept(self.id, now));
        TcpFlow {
            source: self.source,
            destination: self.destination,
            net: Rc::clone(&self.net),
            id: self.id,
            current: None,
        }
    }

    /// Tells the application why it cannot connect.
    pub fn refuse(mut self, why: Refusal) {
        self.decide(why);
    }

    fn decide(&mut self, why: Refusal) {
        self.decided = true;
        self.net
            .act(|stack, now| stack.tcp_refuse(self.id, why, now));
    }
}

impl Drop for TcpIncoming {
    fn drop(&mut self) {
        if !self.decided {
            self.decide(Refusal::Reset);
        }
    }
}

impl TcpFlow {
    /// The application's end.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Where the application wants to go.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Reads once from `from` straight into a buffer that becomes a packet to the
    /// application; 0 means that `from` ended.
    ///
    /// Waits for room first, so that back-pressure reaches `from`.
    ///
    /// # Errors
    /// [`FillError`] says which side broke.
    pub fn poll_fill_from<R: AsyncRead + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        from: Pin<&mut R>,
    ) -> Poll<Result<usize, FillError>> {
        let room = ready!(self.poll_room(cx)).map_err(FillError::Flow)?;
        let mut buffer = self.net.with(|core| core.stack.pool().large());
        let limit = room.min(PACKETFUL);
        let mut into = ReadBuf::new(buffer.get_mut(..limit).unwrap_or_default());
        ready!(from.poll_read(cx, &mut into)).map_err(FillError::Source)?;
        let count = into.filled().len();
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        let sent = self.net.act(|stack, now| {
            if count < WORTH_HANDING_OVER {
                stack.tcp_send(self.id, buffer.get(..count).unwrap_or_default(), now)
            } else {
                stack.tcp_send_chunk(self.id, Chunk::new(buffer, 0, count), now)
            }
        });
        match sent {
            Sent::Bytes(taken) if taken == count => Poll::Ready(Ok(count)),
            Sent::Bytes(_) | Sent::Full => Poll::Ready(Err(FillError::Flow(io::Error::other(
                "the flow took less than its room",
            )))),
            Sent::Gone(cause) => Poll::Ready(Err(FillError::Flow(gone(cause)))),
        }
    }

    /// Bytes the flow will take without delay, at least one.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.net.with(|core| match core.stack.tcp_room(self.id) {
            Sent::Bytes(room) => Poll::Ready(Ok(room)),
            Sent::Full => {
                core.writers.register(self.id, cx.waker());
                Poll::Pending
            }
            Sent::Gone(cause) => Poll::Ready(Err(gone(cause))),
        })
    }

    /// Makes the next received bytes current; `false` at the end of the stream.
    fn poll_next(&mut self, cx: &Context<'_>) -> Poll<io::Result<bool>> {
        if self.current.as_ref().is_some_and(|chunk| !chunk.is_empty()) {
            return Poll::Ready(Ok(true));
        }
        self.current = None;
        self.net.with(|core| match core.stack.tcp_take(self.id) {
            Taken::Data(chunk) => {
                self.current = Some(chunk);
                Poll::Ready(Ok(true))
            }
            Taken::Nothing => {
                core.readers.register(self.id, cx.waker());
                Poll::Pending
            }
            Taken::End => Poll::Ready(Ok(false)),
            Taken::Gone(cause) => Poll::Ready(Err(gone(cause))),
        })
    }

    fn release(&mut self, count: usize) {
        let Some(current) = &mut self.current else {
            return;
        };
        let count = count.min(current.len());
        current.advance(count);
        if current.is_empty() {
            self.current = None;
        }
        if count > 0 {
            let tell = self.net.with(|core| core.stack.tcp_release(self.id, count));
            if tell {
                self.net.act(|_, _| ());
            }
        }
    }
}

impl AsyncBufRead for TcpFlow {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_next(cx))?;
        Poll::Ready(Ok(this.current.as_deref().unwrap_or_default()))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().release(count);
    }
}

impl AsyncRead for TcpFlow {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(this.poll_next(cx))?;
        // As much as is there, not just one chunk: a reader with a large buffer gets it filled.
        while let Some(current) = &this.current {
            let count = current.len().min(into.remaining());
            into.put_slice(current.get(..count).unwrap_or_default());
            this.release(count);
            if into.remaining() == 0 || !matches!(this.poll_next(cx), Poll::Ready(Ok(true))) {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TcpFlow {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_room(cx))?;
        match this
            .net
            .act(|stack, now| stack.tcp_send(this.id, bytes, now))
        {
            Sent::Bytes(count) => Poll::Ready(Ok(count)),
            Sent::Full => {
                this.net
                    .with(|core| core.writers.register(this.id, cx.waker()));
                Poll::Pending
            }
            Sent::Gone(cause) => Poll::Ready(Err(gone(cause))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.net.act(|stack, now| stack.tcp_finish(this.id, now));
        Poll::Ready(Ok(()))
    }
}

impl Drop for TcpFlow {
    fn drop(&mut self) {
        self.net.act(|stack, now| stack.tcp_close(self.id, now));
        self.net.with(|core| {
            core.readers.forget(self.id);
            core.writers.forget(self.id);
            core.count_flows();
        });
    }
}

/// The error a socket would give.
pub(super) fn gone(cause: Cause) -> io::Error {
    let kind = match cause {
        Cause::Reset => io::ErrorKind::ConnectionReset,
        Cause::TimedOut => io::ErrorKind::TimedOut,
        Cause::Evicted => io::ErrorKind::ConnectionAborted,
        Cause::Closed => io::ErrorKind::BrokenPipe,
    };
    io::Error::new(kind, cause)
}

impl fmt::Debug for TcpIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpIncoming({} to {})", self.source, self.destination)
    }
}

impl fmt::Debug for TcpFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpFlow({} to {})", self.source, self.destination)
    }
}
