//! Datagrams over VMess: each is one chunk.

use std::io;
use std::task::{Context, Poll, ready};

use super::body::{MAX_PAYLOAD, Opened};
use super::session::Codec;
use super::stream::poll_response;
use crate::answer::malformed;
use crate::buffer::{Incoming, Outgoing};
use crate::{BoxStream, Datagrams};

/// The longest chunk.
const CHUNK: usize = 2 + 65_535;
/// With so much unsent, no further datagram is taken.
const BACKLOG: usize = 64 * 1024;

/// A session of datagrams; its request may still have to be sent.
pub(crate) struct VmessDatagrams {
    inner: BoxStream,
    codec: Codec,
    outgoing: Outgoing,
    incoming: Incoming,
    answered: bool,
    ended: bool,
}

impl VmessDatagrams {
    /// `head` is what of the request is not sent yet; it goes out with the first datagram.
    pub(crate) fn new(inner: BoxStream, codec: Codec, head: &[u8]) -> Self {
        let mut outgoing = Outgoing::default();
        outgoing.bytes().extend(head);
        Self {
            inner,
            codec,
            outgoing,
            incoming: Incoming::default(),
            answered: false,
            ended: false,
        }
    }
}

impl Datagrams for VmessDatagrams {
    fn poll_send(&mut self, cx: &mut Context<'_>, datagram: &[u8]) -> Poll<io::Result<()>> {
        if datagram.len() > MAX_PAYLOAD {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        }
        if self.outgoing.len() > BACKLOG {
            ready!(self.outgoing.poll_drain(cx, &mut self.inner))?;
        }
        // A chunk without payload would end the session: an empty datagram is lost.
        if !datagram.is_empty() {
            self.codec.seal_one(datagram, self.outgoing.bytes());
        }
        self.outgoing.flush_aside(cx, &mut self.inner)?;
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, space: &mut [u8]) -> Poll<io::Result<usize>> {
        self.outgoing.flush_aside(cx, &mut self.inner)?;
        if !self.answered {
            let inner = &mut self.inner;
            ready!(poll_response(cx, inner, &mut self.incoming, &self.codec))?;
            self.answered = true;
        }
        while !self.ended {
            let opened = self.codec.opener.open(self.incoming.filled_mut());
            match opened.map_err(malformed)? {
                Opened::Chunk { payload, used } => {
                    let datagram = self.incoming.filled().get(payload).unwrap_or_default();
                    let count = datagram.len().min(space.len());
                    if let (Some(to), Some(from)) = (space.get_mut(..count), datagram.get(..count))
                    {
                        to.copy_from_slice(from);
                    }
                    self.incoming.consume(used);
                    return Poll::Ready(Ok(count));
                }
                Opened::End { .. } => self.ended = true,
                Opened::Partial(_) => {
                    let read = self.incoming.poll_fill(cx, &mut self.inner, CHUNK, CHUNK);
                    self.ended = ready!(read)? == 0;
                }
            }
        }
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }
}
