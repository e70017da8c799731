//! TCP flows as the rest of the engine sees them.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use vpnm_netstack::{Cause, FlowId, Refusal, Sent, Taken};
use vpnm_wire::Chunk;

use super::net::Net;

/// A connection attempt whose handshake is held, unless very many are.
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
    pub(super) net: Rc<Net>,
    pub(super) id: FlowId,
    /// Received bytes being read.
    pub(super) current: Option<Chunk>,
    /// Received bytes behind those, taken to be written together with them.
    behind: Option<Box<Behind>>,
    /// Whether the last read from the other side filled a buffer: more is there at once.
    pub(super) eager: bool,
}

/// What few flows have at a time.
#[derive(Default)]
struct Behind(VecDeque<Chunk>);

impl TcpIncoming {
    /// Lets the handshake complete.
    #[must_use]
    pub fn accept(mut self) -> TcpFlow {
        self.decided = true;
        self.net.act(|stack, now| stack.tcp_accept(self.id, now));
        TcpFlow {
            net: Rc::clone(&self.net),
            id: self.id,
            current: None,
            behind: None,
            eager: false,
        }
    }

    /// Waits until the application gives up: it reset the attempt, or its host stopped
    /// asking.
    pub async fn aborted(&self) {
        poll_fn(|cx| {
            self.net.with(|core| {
                if core.stack.tcp_gone(self.id).is_some() {
                    return Poll::Ready(());
                }
                core.readers.register(self.id, cx.waker());
                Poll::Pending
            })
        })
        .await;
    }

    /// Tells the application why it cannot connect; where the handshake could not be held,
    /// it gets a reset.
    pub fn refuse(mut self, why: Refusal) {
        self.decide(why);
    }

    fn decide(&mut self, why: Refusal) {
        self.decided = true;
        self.net
            .act(|stack, now| stack.tcp_refuse(self.id, why, now));
        self.net.with(|core| core.readers.forget(self.id));
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
    /// Bytes the flow will take without delay, at least one.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        self.net.with(|core| match core.stack.tcp_room(self.id) {
            Sent::Bytes(room) => Poll::Ready(Ok(room)),
            Sent::Full => {
                core.writers.register(self.id, cx.waker());
                Poll::Pending
            }
            Sent::Gone(cause) => Poll::Ready(Err(gone(cause))),
        })
    }

    /// Why the flow is gone, as soon as it is: for who reads and writes nothing meanwhile.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> Poll<io::Error> {
        self.net.with(|core| {
            if let Some(cause) = core.stack.tcp_gone(self.id) {
                return Poll::Ready(gone(cause));
            }
            core.writers.register(self.id, cx.waker());
            Poll::Pending
        })
    }

    /// Makes the next received bytes current; `false` at the end of the stream.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<io::Result<bool>> {
        if self.current.as_ref().is_some_and(|chunk| !chunk.is_empty()) {
            return Poll::Ready(Ok(true));
        }
        self.current = self.pop_behind();
        if self.current.is_some() {
            return Poll::Ready(Ok(true));
        }
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

    fn pop_behind(&mut self) -> Option<Chunk> {
        self.behind.as_mut()?.0.pop_front()
    }

    /// Takes packets that wait behind the current one, until `most` are taken in all.
    pub(super) fn gather(&mut self, most: usize) {
        let Self {
            net, id, behind, ..
        } = self;
        net.with(|core| {
            while 1 + behind.as_ref().map_or(0, |behind| behind.0.len()) < most
                && let Taken::Data(chunk) = core.stack.tcp_take(*id)
            {
                behind.get_or_insert_default().0.push_back(chunk);
            }
        });
    }

    /// What is taken, the current packet first.
    pub(super) fn taken(&self) -> impl Iterator<Item = &Chunk> {
        let behind = self.behind.iter().flat_map(|behind| &behind.0);
        self.current.iter().chain(behind)
    }

    /// Whether packets behind the current one are taken.
    pub(super) fn has_gathered(&self) -> bool {
        self.behind
            .as_ref()
            .is_some_and(|behind| !behind.0.is_empty())
    }

    /// The first `count` bytes taken are done with.
    pub(super) fn release(&mut self, count: usize) {
        let mut left = count;
        while let Some(current) = &mut self.current {
            let done = left.min(current.len());
            current.advance(done);
            left -= done;
            if !current.is_empty() {
                break;
            }
            self.current = self.pop_behind();
        }
        if self.current.is_none() {
            // An idle flow keeps no memory.
            self.behind = None;
        }
        let tell = self
            .net
            .with(|core| core.stack.tcp_release(self.id, count - left));
        if tell {
            self.net.act(|_, _| ());
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
        let room = ready!(this.poll_room(cx))?;
        let bytes = bytes.get(..room).unwrap_or(bytes);
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
        write!(f, "TcpFlow({:?})", self.id)
    }
}
