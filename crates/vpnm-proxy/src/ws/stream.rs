//! A byte stream over WebSocket messages.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use super::frame::{Event, Receiver, Role, encode_close, encode_message, encode_pong};
use super::handshake::{AnswerError, MAX_ANSWER, Request, decode_answer};
use crate::answer::malformed;
use crate::buffer::{Incoming, Outgoing};
use crate::random::random;
use crate::{BoxStream, DialError, Stream};

/// What one message carries at most, in bytes.
const MESSAGE: usize = 64 * 1024;
/// The size up to which the buffer for reading grows.
const READ_LIMIT: usize = 64 * 1024;
/// With so much unsent, a ping is not answered: the one after it will be.
const PONG_BACKLOG: usize = 4 * 1024;
/// The status code of an ordinary end (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

/// A WebSocket that has been agreed on, at the asking end.
pub(crate) struct WebSocketStream {
    inner: BoxStream,
    receiver: Receiver,
    incoming: Incoming,
    outgoing: Outgoing,
    /// The other side has said that it ends, or has ended.
    ended: bool,
}

/// Asks for a WebSocket and waits for the answer.
pub(crate) async fn connect(
    mut inner: BoxStream,
    request: Request<'_>,
) -> Result<WebSocketStream, DialError> {
    inner.write_all(&request.encode()).await.map_err(closed)?;
    inner.flush().await.map_err(closed)?;
    let mut answer = vec![0; MAX_ANSWER];
    let mut end = 0;
    loop {
        let space = answer.get_mut(end..).unwrap_or_default();
        let count = inner.read(space).await.map_err(closed)?;
        if count == 0 {
            return Err(DialError::Rejected);
        }
        end += count;
        let bytes = answer.get(..end).unwrap_or_default();
        if let Some(length) = decode_answer(bytes, request.key).map_err(refused)? {
            let rest = bytes.get(length..).unwrap_or_default();
            return Ok(WebSocketStream {
                inner,
                receiver: Receiver::new(Role::Client),
                incoming: Incoming::from(rest),
                outgoing: Outgoing::default(),
                ended: false,
            });
        }
    }
}

fn closed(error: io::Error) -> DialError {
    if crate::answer::is_end(&error) {
        return DialError::Rejected;
    }
    DialError::from_io(error)
}

fn refused(error: AnswerError) -> DialError {
    let reason = match error {
        AnswerError::Status(status) => return DialError::WebSocket { status },
        AnswerError::NotHttp => "it is not HTTP",
        AnswerError::TooLong => "it is too long",
        AnswerError::NoUpgrade => "it does not agree to upgrade",
        AnswerError::Accept => "its proof does not fit the request",
        AnswerError::Extension => "it uses an extension that was not offered",
    };
    DialError::Handshake { reason }
}

impl WebSocketStream {
    fn handle(&mut self, event: Event, space: &mut ReadBuf<'_>) {
        match event {
            Event::Data(range) => {
                let data = self.incoming.filled().get(range).unwrap_or_default();
                space.put_slice(data);
            }
            Event::Ping(payload) => {
                if self.outgoing.len() <= PONG_BACKLOG {
                    encode_pong(&payload, Some(random()), self.outgoing.bytes());
                }
            }
            Event::Close(_) => {
                self.ended = true;
                encode_close(NORMAL, Some(random()), self.outgoing.bytes());
            }
        }
    }
}

impl AsyncRead for WebSocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = space.filled().len();
        while !this.ended && space.remaining() > 0 {
            let input = this.incoming.filled_mut();
            let handled = this.receiver.handle(input, space.remaining());
            let (used, event) = match handled {
                Ok(step) => step,
                // What came before is read first; the error is met again.
                Err(_) if space.filled().len() > before => break,
                Err(error) => return Poll::Ready(Err(malformed(error))),
            };
            if let Some(event) = event {
                this.handle(event, space);
            }
            this.incoming.consume(used);
            if used > 0 {
                continue;
            }
            if space.filled().len() > before {
                break;
            }
            this.outgoing.flush_aside(cx, &mut this.inner)?;
            let read = this.incoming.poll_fill(cx, &mut this.inner, 0, READ_LIMIT);
            if ready!(read)? == 0 {
                if !this.incoming.is_empty() || !this.receiver.is_between_messages() {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                this.ended = true;
            }
        }
        if this.ended {
            // The other side is done: an error in saying goodbye changes nothing.
            let _goodbye = this.outgoing.flush_aside(cx, &mut this.inner);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketStream {
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
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        this.outgoing
            .poll_seal(cx, &mut this.inner, (pieces, MESSAGE), |message, out| {
                encode_message(message, Some(random()), out);
            })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.outgoing.poll_flush(cx, &mut this.inner)
    }

    /// Flushes. A close frame would end both directions, and only after the other
    /// side has ended is it sent and the transport shut down.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.outgoing.poll_flush(cx, &mut this.inner))?;
        if this.ended {
            return Pin::new(&mut this.inner).poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl Stream for WebSocketStream {
    fn break_off(&mut self) {
        self.inner.break_off();
    }
}

#[cfg(test)]
mod tests;
