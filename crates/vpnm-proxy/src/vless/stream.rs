//! A TCP flow over VLESS: the response header is taken off, all else passes through.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::decode_response;
use crate::answer;
use crate::buffer::Incoming;
use crate::{BoxStream, Stream};

/// More than the longest response header, and room for data that comes with it.
const FIRST_READ: usize = 8 * 1024;

/// A flow whose request has been sent.
pub(crate) struct VlessStream {
    inner: BoxStream,
    reading: Reading,
}

enum Reading {
    /// The response header is not complete.
    Header(Incoming),
    /// What came with the response header.
    Rest(Incoming),
    /// Nothing is ours any more.
    Through,
}

impl VlessStream {
    pub(crate) fn new(inner: BoxStream) -> Self {
        let reading = Reading::Header(Incoming::default());
        Self { inner, reading }
    }
}

/// Reads until the response header is complete, and drops it.
pub(super) fn poll_response(
    cx: &mut Context<'_>,
    inner: &mut BoxStream,
    incoming: &mut Incoming,
) -> Poll<io::Result<()>> {
    loop {
        let header = decode_response(incoming.filled());
        if let Some(length) = header.map_err(answer::malformed)? {
            incoming.consume(length);
            return Poll::Ready(Ok(()));
        }
        let read = incoming.poll_fill(cx, inner, FIRST_READ, FIRST_READ);
        answer::began(ready!(read))?;
    }
}

impl AsyncRead for VlessStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, reading } = &mut *self;
        if let Reading::Header(incoming) = reading {
            ready!(poll_response(cx, inner, incoming))?;
            *reading = Reading::Rest(std::mem::take(incoming));
        }
        if let Reading::Rest(incoming) = reading {
            if !incoming.is_empty() {
                incoming.drain_into(space);
                return Poll::Ready(Ok(()));
            }
            *reading = Reading::Through;
        }
        Pin::new(inner).poll_read(cx, space)
    }
}

impl AsyncWrite for VlessStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Stream for VlessStream {
    fn break_off(&mut self) {
        self.inner.break_off();
    }
}
