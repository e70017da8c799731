//! Datagrams exchanged with one destination through a server.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// Datagrams to and from one destination, their boundaries kept.
pub trait Datagrams: Send + Unpin {
    /// Sends one datagram.
    ///
    /// Ready means taken, not delivered: what the transport does not take at once
    /// goes out with the next call of either method. Pending means nothing was
    /// taken and the task is woken once there is room.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a datagram longer than the protocol
    /// frames; anything else is fatal to the session.
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>>;

    /// Receives one datagram into `space` and says how long it is; what does not
    /// fit is lost.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] once the server has ended the session, and
    /// the rejection told apart by [`is_rejection`](crate::is_rejection) if it did
    /// so before it answered anything.
    fn poll_recv(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>>;
}

/// Datagrams whose protocol is not known at compile time.
pub type BoxDatagrams = Box<dyn Datagrams>;

/// Sends one datagram; see [`Datagrams::poll_send`].
///
/// # Errors
/// As [`Datagrams::poll_send`].
pub async fn send(datagrams: &mut dyn Datagrams, datagram: &[u8]) -> io::Result<()> {
    poll_fn(|cx| datagrams.poll_send(cx, datagram)).await
}

/// Receives one datagram; see [`Datagrams::poll_recv`].
///
/// # Errors
/// As [`Datagrams::poll_recv`].
pub async fn recv(datagrams: &mut dyn Datagrams, space: &mut [u8]) -> io::Result<usize> {
    poll_fn(|cx| datagrams.poll_recv(cx, space)).await
}
