//! The asynchronous client, on tokio.

mod commit;
mod stream;

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::timeout;

pub use stream::Stream;

use crate::call_error::CallError;
use crate::descriptors;
use crate::dynamic::Known;
use crate::fault::Fault;
use crate::method::Method;
use crate::request::{Frame, Request, expected_answer};
use crate::stream::Stream as Socket;
use crate::trust::{self, Trust};
use crate::wire::{Inbox, Message};
use crate::with_fds::WithFds;

/// The longest reply that a client takes, in bytes.
const LONGEST: usize = 64 << 20;

/// A connection to a daemon, for one call at a time. A generated client is
/// made of it: `TunnelClient::from(client)`.
///
/// A call that is dropped before its reply has arrived closes the connection:
/// nothing can tell whether the daemon has carried it out.
#[derive(Debug)]
pub struct Client {
    stream: Socket,
    inbox: Inbox,
    received: Vec<OwnedFd>,
    /// The last call's memory, for the next one.
    spare: Vec<u8>,
    /// What a call by name has learned.
    known: Option<Known>,
    timeout: Option<Duration>,
    /// A call was given up in the middle: what arrives now belongs to it.
    broken: bool,
}

impl Client {
    /// Connects to the daemon at `path`, which root must serve.
    ///
    /// # Errors
    ///
    /// When nothing listens there, the caller may not connect, or another user
    /// than root serves the socket.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_trusting(path, Trust::Root).await
    }

    /// Connects to the daemon at `path`, which the one trusted must serve.
    ///
    /// # Errors
    ///
    /// As [`Client::open`].
    pub async fn open_trusting(path: impl AsRef<Path>, trust: Trust) -> io::Result<Self> {
        let stream = Socket::connect(path.as_ref()).await?;
        trust::verify(&stream, trust)?;
        Ok(Self::speaking(stream))
    }

    /// Speaks over a connected socket, e.g. one end of a pair. Whoever gave it
    /// vouches for the other end. Needs a tokio runtime around it.
    ///
    /// # Errors
    ///
    /// When the descriptor is no socket that can be waited for.
    pub fn from_stream(stream: impl Into<OwnedFd>) -> io::Result<Self> {
        Ok(Self::speaking(Socket::unblocked(stream.into())?))
    }

    pub(crate) fn speaking(stream: Socket) -> Self {
        Self {
            stream,
            inbox: Inbox::new(LONGEST),
            received: Vec::new(),
            spare: Vec::new(),
            known: None,
            timeout: None,
            broken: false,
        }
    }

    /// Gives up on calls after this time. A client that has given up on a call
    /// is closed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Begins a call; the generated clients use it.
    #[must_use]
    pub fn request<'fd>(&mut self, method: &'static Method) -> Request<'fd> {
        Request::new(method, std::mem::take(&mut self.spare))
    }

    /// Makes a call; the generated clients use it.
    ///
    /// # Errors
    ///
    /// As [`CallError`] says.
    pub async fn call<R: DeserializeOwned, E: Fault>(
        &mut self,
        request: Request<'_>,
    ) -> Result<R, CallError<E>> {
        let method = request.method.qualified;
        let frame = request.finish()?;
        let message = self.exchange(method, frame).await?;
        let answered = expected_answer(method, self.inbox.bytes(message))?;
        // One answer was asked for: what else comes answers nothing.
        self.broken = answered.continues;
        Ok(answered.reply)
    }

    /// Makes a call without waiting for an answer, which there is none of.
    ///
    /// # Errors
    ///
    /// When it could not be sent; nothing tells whether it was carried out.
    pub async fn tell<E>(&mut self, request: Request<'_>) -> Result<(), CallError<E>> {
        let method = request.method.qualified;
        let frame = request.finish()?;
        self.send(method, &frame).await?;
        self.spare = frame.bytes;
        self.broken = false;
        Ok(())
    }

    /// Makes a call whose reply descriptors come with.
    ///
    /// # Errors
    ///
    /// As [`CallError`] says.
    pub async fn call_with_fds<R: DeserializeOwned, E: Fault>(
        &mut self,
        request: Request<'_>,
    ) -> Result<WithFds<R>, CallError<E>> {
        let reply = self.call(request).await?;
        let fds = std::mem::take(&mut self.received);
        Ok(WithFds { reply, fds })
    }

    /// Makes a call that answers with a stream.
    ///
    /// # Errors
    ///
    /// As [`CallError`] says. A refusal arrives as the stream's first item.
    pub async fn stream<R: DeserializeOwned, E: Fault>(
        &mut self,
        request: Request<'_>,
    ) -> Result<Stream<'_, R, E>, CallError<E>> {
        let method = request.method;
        let frame = request.finish()?;
        self.send(method.qualified, &frame).await?;
        self.spare = frame.bytes;
        Ok(Stream::new(self, method))
    }

    /// Sends a call and waits for its reply.
    pub(crate) async fn exchange<E>(
        &mut self,
        method: &str,
        frame: Frame<'_>,
    ) -> Result<Message, CallError<E>> {
        let limit = self.timeout;
        let both = async {
            self.send(method, &frame).await?;
            let _waiting = self.stream.expect_soon().await;
            self.receive(method).await
        };
        let message = match limit {
            None => both.await?,
            Some(limit) => timeout(limit, both)
                .await
                .map_err(|_| CallError::NoAnswer {
                    method: method.to_owned(),
                })??,
        };
        self.broken = false;
        self.spare = frame.bytes;
        Ok(message)
    }

    async fn send<E>(&mut self, method: &str, frame: &Frame<'_>) -> Result<(), CallError<E>> {
        if self.broken || !self.inbox.is_empty() {
            return Err(CallError::Closed {
                method: method.to_owned(),
            });
        }
        self.broken = true;
        self.received.clear();
        match self.stream.send(&frame.bytes, &frame.fds).await {
            // The daemon may have closed with a reason: it is there to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| CallError::io(method, error)),
        }
    }

    /// Waits for the next message.
    async fn receive<E>(&mut self, method: &str) -> Result<Message, CallError<E>> {
        loop {
            if let Some(message) = self.inbox.next() {
                return Ok(message);
            }
            let count = self
                .read()
                .await
                .map_err(|error| CallError::io(method, error))?;
            if count == 0 {
                return Err(CallError::Closed {
                    method: method.to_owned(),
                });
            }
            self.inbox.arrived(count);
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        let room = self.inbox.room().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "a reply of more than 64 MiB")
        })?;
        self.stream
            .receive_with_fds(room, &mut self.received, descriptors::MOST)
            .await
    }
}
