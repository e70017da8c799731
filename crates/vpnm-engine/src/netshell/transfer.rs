//! Moves bytes between a flow and a stream in the buffers they arrived in.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use vpnm_netstack::Sent;
use vpnm_wire::Chunk;

use super::tcp::{TcpFlow, gone};

/// Bytes read at once before it is known that more are there: no more than every packet
/// can carry, over IPv4 and over IPv6, so that one read becomes one write.
const FIRST: usize = 65_480;
/// A read that fills less than this of its buffer is copied, so that little data does
/// not pin much memory.
const WORTH_HANDING_OVER: usize = 16 * 1024;
/// Packets written to a stream at once. Measured: each write of a single packet wakes
/// the far side, and eight at once move a fifth more per second.
const GATHER: usize = 8;

/// Which side of a transfer broke.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The application's side is gone.
    #[error("the application's side of the flow is gone")]
    Flow(#[source] io::Error),
    /// The stream cannot be read or written any more.
    #[error("the stream beside the flow broke")]
    Stream(#[source] io::Error),
}

impl TcpFlow {
    /// Reads once from `from` straight into a buffer that becomes a packet to the
    /// application; 0 means that `from` ended. A small packet leaves with the next call of
    /// [`Self::flush`], which a caller makes before it waits for anything: more data or
    /// the end may still join it.
    ///
    /// Waits for room first, so that back-pressure reaches `from`.
    ///
    /// # Errors
    /// [`TransferError`] says which side broke.
    pub fn poll_fill_from<R: AsyncRead + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        from: Pin<&mut R>,
    ) -> Poll<Result<usize, TransferError>> {
        let room = ready!(self.poll_room(cx)).map_err(TransferError::Flow)?;
        let (mut buffer, limit) = self.net.with(|core| {
            let most = match self.eager {
                true => core.stack.tcp_packetful(self.id).max(FIRST),
                false => FIRST,
            };
            let limit = room.min(most);
            (core.stack.pool().fitting(limit), limit)
        });
        let mut into = ReadBuf::new(buffer.get_mut(..limit).unwrap_or_default());
        ready!(from.poll_read(cx, &mut into)).map_err(TransferError::Stream)?;
        let count = into.filled().len();
        self.eager = count >= limit.min(FIRST);
        if count == 0 {
            return Poll::Ready(Ok(0));
        }
        let sent = if count < WORTH_HANDING_OVER {
            let bytes = buffer.get(..count).unwrap_or_default();
            self.net
                .queue(|stack, now| stack.tcp_send(self.id, bytes, now))
        } else {
            let bytes = Chunk::new(buffer, 0, count);
            self.net
                .act(|stack, now| stack.tcp_send_chunk(self.id, bytes, now))
        };
        match sent {
            Sent::Bytes(taken) if taken == count => Poll::Ready(Ok(count)),
            Sent::Bytes(_) | Sent::Full => Poll::Ready(Err(TransferError::Flow(io::Error::other(
                "the flow took less than its room",
            )))),
            Sent::Gone(cause) => Poll::Ready(Err(TransferError::Flow(gone(cause)))),
        }
    }

    /// Lets all packets go that wait.
    pub fn flush(&self) {
        self.net.act(|_, _| ());
    }

    /// Writes what the application sent to `to` once, several packets of it if they are
    /// there; 0 means that the application has shut its sending side.
    ///
    /// # Errors
    /// [`TransferError`] says which side broke.
    pub fn poll_drain_into<W: AsyncWrite + ?Sized>(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut W>,
    ) -> Poll<Result<usize, TransferError>> {
        if !ready!(self.poll_next(cx)).map_err(TransferError::Flow)? {
            return Poll::Ready(Ok(0));
        }
        if to.is_write_vectored() {
            self.gather(GATHER);
        }
        let written = if self.has_gathered() {
            let mut slices = [IoSlice::new(&[]); GATHER];
            for (slice, chunk) in slices.iter_mut().zip(self.taken()) {
                *slice = IoSlice::new(chunk);
            }
            to.poll_write_vectored(cx, &slices)
        } else {
            to.poll_write(cx, self.current.as_deref().unwrap_or_default())
        };
        let count = ready!(written).map_err(TransferError::Stream)?;
        if count == 0 {
            let error = io::ErrorKind::WriteZero.into();
            return Poll::Ready(Err(TransferError::Stream(error)));
        }
        self.release(count);
        Poll::Ready(Ok(count))
    }
}
