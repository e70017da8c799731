//! The client for programs without a runtime.

mod commit;
mod stream;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

pub use stream::Stream;

use crate::call_error::CallError;
use crate::descriptors;
use crate::dynamic::Known;
use crate::fault::Fault;
use crate::method::Method;
use crate::request::{Frame, Request, expected_answer};
use crate::trust::{self, Trust};
use crate::wire::{Inbox, Message};
use crate::with_fds::WithFds;

/// The longest reply that a client takes, in bytes.
const LONGEST: usize = 64 << 20;

/// A connection to a daemon, for one call at a time. A generated client is
/// made of it: `TunnelBlocking::from(client)`.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    inbox: Inbox,
    received: Vec<OwnedFd>,
    /// The last call's memory, for the next one.
    spare: Vec<u8>,
    /// What a call by name has learned.
    known: Option<Known>,
    timeout: Option<Duration>,
    /// Whether the socket has a timeout for reading.
    timed: bool,
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
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::open_trusting(path, Trust::Root)
    }

    /// Connects to the daemon at `path`, which the one trusted must serve.
    ///
    /// # Errors
    ///
    /// As [`Client::open`].
    pub fn open_trusting(path: impl AsRef<Path>, trust: Trust) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        trust::verify(&stream, trust)?;
        Ok(Self::from_stream(stream))
    }

    /// Speaks over a connected socket, e.g. one end of a pair. Whoever gave it
    /// vouches for the other end.
    #[must_use]
    pub fn from_stream(stream: impl Into<OwnedFd>) -> Self {
        Self {
            stream: UnixStream::from(stream.into()),
            inbox: Inbox::new(LONGEST),
            received: Vec::new(),
            spare: Vec::new(),
            known: None,
            timeout: None,
            timed: false,
            broken: false,
        }
    }

    /// Gives up on calls after this time. A client that has given up on a call
    /// is closed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        // Only a timeout of zero is refused: the read deadline still holds then.
        let _unset = self.stream.set_write_timeout(Some(timeout));
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
    pub fn call<R: DeserializeOwned, E: Fault>(
        &mut self,
        request: Request<'_>,
    ) -> Result<R, CallError<E>> {
        let method = request.method.qualified;
        let frame = request.finish()?;
        let message = self.exchange(method, frame)?;
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
    pub fn tell<E>(&mut self, request: Request<'_>) -> Result<(), CallError<E>> {
        let method = request.method.qualified;
        let frame = request.finish()?;
        self.send(method, &frame)?;
        self.spare = frame.bytes;
        self.broken = false;
        Ok(())
    }

    /// Makes a call whose reply descriptors come with.
    ///
    /// # Errors
    ///
    /// As [`CallError`] says.
    pub fn call_with_fds<R: DeserializeOwned, E: Fault>(
        &mut self,
        request: Request<'_>,
    ) -> Result<WithFds<R>, CallError<E>> {
        let reply = self.call(request)?;
        let fds = std::mem::take(&mut self.received);
        Ok(WithFds { reply, fds })
    }

    /// Makes a call that answers with a stream.
    ///
    /// # Errors
    ///
    /// As [`CallError`] says. A refusal arrives as the stream's first item.
    pub fn stream<R: DeserializeOwned, E: Fault>(
        &mut self,
        request: Request<'_>,
    ) -> Result<Stream<'_, R, E>, CallError<E>> {
        let method = request.method;
        let frame = request.finish()?;
        self.send(method.qualified, &frame)?;
        self.spare = frame.bytes;
        Ok(Stream::new(self, method))
    }

    /// Sends a call and waits for its reply.
    pub(crate) fn exchange<E>(
        &mut self,
        method: &str,
        frame: Frame<'_>,
    ) -> Result<Message, CallError<E>> {
        self.send(method, &frame)?;
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        let message = self.receive(method, deadline)?;
        self.broken = false;
        self.spare = frame.bytes;
        Ok(message)
    }

    fn send<E>(&mut self, method: &str, frame: &Frame<'_>) -> Result<(), CallError<E>> {
        if self.broken || !self.inbox.is_empty() {
            return Err(CallError::Closed {
                method: method.to_owned(),
            });
        }
        self.broken = true;
        self.received.clear();
        match self.write(frame) {
            // The daemon may have closed with a reason: it is there to be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| CallError::io(method, error)),
        }
    }

    fn write(&self, frame: &Frame<'_>) -> io::Result<()> {
        let mut rest = frame.bytes.as_slice();
        descriptors::make_room(&self.stream, rest.len());
        let mut fds = frame.fds.as_slice();
        while !rest.is_empty() {
            let sent = match descriptors::send(&self.stream, rest, fds) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                sent => sent?,
            };
            fds = &[];
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits for the next message.
    fn receive<E>(
        &mut self,
        method: &str,
        deadline: Option<Instant>,
    ) -> Result<Message, CallError<E>> {
        loop {
            if let Some(message) = self.inbox.next() {
                return Ok(message);
            }
            let count = self
                .read(deadline)
                .map_err(|error| CallError::io(method, error))?;
            if count == 0 {
                return Err(CallError::Closed {
                    method: method.to_owned(),
                });
            }
            self.inbox.arrived(count);
        }
    }

    fn read(&mut self, deadline: Option<Instant>) -> io::Result<usize> {
        let room = self.inbox.room().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "a reply of more than 64 MiB")
        })?;
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if left.is_some() || self.timed {
            self.stream.set_read_timeout(left)?;
            self.timed = left.is_some();
        }
        loop {
            let read =
                descriptors::receive(&self.stream, room, &mut self.received, descriptors::MOST);
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}
