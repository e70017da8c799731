//! Datagrams over VLESS.

use std::io;
use std::task::{Context, Poll, ready};

use super::stream::poll_response;
use super::{decode_datagram, encode_datagram};
use crate::buffer::{Incoming, Outgoing};
use crate::{BoxStream, Datagrams};

/// The longest frame: a length and 65535 bytes.
const FRAME: usize = 2 + 65_535;
/// With so much unsent, no further datagram is taken.
const BACKLOG: usize = 64 * 1024;

/// A session of datagrams; its request may still have to be sent.
pub(crate) struct VlessDatagrams {
    inner: BoxStream,
    outgoing: Outgoing,
    incoming: Incoming,
    answered: bool,
}

impl VlessDatagrams {
    /// `head` is what of the request is not sent yet; it goes out with the first datagram.
    pub(crate) fn new(inner: BoxStream, head: &[u8]) -> Self {
        let mut outgoing = Outgoing::default();
        outgoing.bytes().extend(head);
        Self {
            inner,
            outgoing,
            incoming: Incoming::default(),
            answered: false,
        }
    }
}

impl Datagrams for VlessDatagrams {
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        if self.outgoing.len() > BACKLOG {
            ready!(self.outgoing.poll_drain(cx, &mut self.inner))?;
        }
        if !encode_datagram(datagram, self.outgoing.bytes()) {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        self.outgoing.flush_aside(cx, &mut self.inner)?;
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.outgoing.flush_aside(cx, &mut self.inner)?;
        if !self.answered {
            ready!(poll_response(cx, &mut self.inner, &mut self.incoming))?;
            self.answered = true;
        }
        loop {
            if let Some(range) = decode_datagram(self.incoming.filled()) {
                let end = range.end;
                let datagram = self.incoming.filled().get(range).unwrap_or_default();
                let count = datagram.len().min(space.len());
                if let (Some(to), Some(from)) = (space.get_mut(..count), datagram.get(..count)) {
                    to.copy_from_slice(from);
                }
                self.incoming.consume(end);
                return Poll::Ready(Ok(count));
            }
            let read = self.incoming.poll_fill(cx, &mut self.inner, FRAME, FRAME);
            if ready!(read)? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }
}
