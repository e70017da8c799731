//! One connection: messages in, answers out.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncReadExt as _, Interest};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::call;
use super::caller::Caller;
use super::hangup::Hangup;
use super::output;
#[cfg(feature = "python")]
use super::python::{self, Protocol};
use super::shared::Shared;
use crate::access::Subject;
use crate::descriptors;
use crate::method::Method;
use crate::peer::Peer;
use crate::sys;
use crate::wire::{Inbox, Message, errors};

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    ByClient,
    Broken,
    Idle,
    Slow,
    TooLong,
    NotVarlink,
    Malformed,
    Descriptors,
    NotRead,
    #[cfg(feature = "python")]
    Unproven,
    Stopping,
}

/// Whether the connection goes on after a call.
pub(super) type Flow = Result<(), Closed>;

/// A connection being served.
pub(super) struct Connection {
    pub(super) line: Line,
    pub(super) inbox: Inbox,
    /// Descriptors that arrived for the next message.
    pub(super) fds: Vec<OwnedFd>,
    /// How many descriptors this client may send with a message.
    most_fds: usize,
    first: bool,
    trusted: bool,
    #[cfg(feature = "python")]
    protocol: Protocol,
}

/// What a call needs of its connection.
pub(super) struct Line {
    pub(super) stream: UnixStream,
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
    pub(super) hangup: Arc<Hangup>,
    pub(super) stopping: watch::Receiver<bool>,
    /// The last answer's memory, for the next one.
    pub(super) spare: Vec<u8>,
}

/// A quiet connection gives back the memory of large messages after this time.
const QUIET: Duration = Duration::from_secs(1);

/// How often to look for a client whose socket stays readable.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn new(
        stream: UnixStream,
        peer: Peer,
        shared: &Arc<Shared>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let most_fds = most_descriptors(shared, &peer);
        if most_fds == 0 {
            sys::refuse_descriptors(&stream);
        }
        Self {
            line: Line {
                stream,
                shared: Arc::clone(shared),
                peer: Arc::new(peer),
                hangup: Arc::default(),
                stopping,
                spare: Vec::new(),
            },
            inbox: Inbox::new(shared.limits.message),
            fds: Vec::new(),
            most_fds,
            first: true,
            trusted: false,
            #[cfg(feature = "python")]
            protocol: Protocol::default(),
        }
    }

    /// The same connection, free to be idle.
    pub(super) fn trusted(mut self) -> Self {
        self.trusted = true;
        self
    }

    /// Serves until either end has had enough.
    pub(super) async fn serve(mut self) {
        let why = self.converse().await;
        self.line.hangup.set();
        #[cfg(feature = "tracing")]
        tracing::debug!(uid = self.line.peer.uid, ?why, "connection closed");
        #[cfg(not(feature = "tracing"))]
        let _unlogged = why;
    }

    #[cfg(feature = "python")]
    async fn converse(&mut self) -> Closed {
        match std::mem::take(&mut self.protocol) {
            Protocol::Varlink => self.varlink().await,
            Protocol::Challenged(key) => python::serve(&mut self.line, Some(&key)).await,
            Protocol::Either => match self.line.first_byte().await {
                Ok(first) if python::is_python(first) => python::serve(&mut self.line, None).await,
                Ok(_) => self.varlink().await,
                Err(why) => why,
            },
        }
    }

    #[cfg(not(feature = "python"))]
    async fn converse(&mut self) -> Closed {
        self.varlink().await
    }

    /// Speaks as one protocol or another.
    #[cfg(feature = "python")]
    pub(super) fn speaking(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    async fn varlink(&mut self) -> Closed {
        loop {
            let message = match self.message().await {
                Ok(message) => message,
                Err(why) => return why,
            };
            self.first = false;
            if let Err(why) = call::handle(self, message).await {
                return why;
            }
            if let Err(why) = self.between() {
                return why;
            }
        }
    }

    /// Whether all is in order between two calls.
    fn between(&self) -> Flow {
        if self.inbox.begun().is_empty() && !self.fds.is_empty() {
            // They came with a message that does not take them.
            return Err(Closed::Descriptors);
        }
        Ok(())
    }

    /// The next message, read within its time and let through at the pace of
    /// its user.
    async fn message(&mut self) -> Result<Message, Closed> {
        let message = self.whole_message().await?;
        if !self.trusted {
            let wait = self.line.pace();
            if !wait.is_zero() {
                let stopping = stopped(&mut self.line.stopping);
                tokio::select! {
                    () = sleep(wait) => {}
                    () = stopping => return Err(Closed::Stopping),
                }
            }
        }
        Ok(message)
    }

    async fn whole_message(&mut self) -> Result<Message, Closed> {
        if let Some(message) = self.next_in_inbox()? {
            return Ok(message);
        }
        let limits = &self.line.shared.limits;
        let (idle, within) = (limits.idle, limits.message_within);
        if self.inbox.begun().is_empty() {
            let idle = match (self.trusted, self.first) {
                (true, _) => None,
                (false, true) => Some(limits.first),
                (false, false) => Some(idle),
            };
            self.begin(idle).await?;
        }
        match timeout(within, self.rest()).await {
            Ok(message) => message,
            Err(_) => Err(Closed::Slow),
        }
    }

    /// Waits for the first bytes of a message.
    async fn begin(&mut self, idle: Option<Duration>) -> Flow {
        let quiet = self.inbox.is_large() || self.line.spare.capacity() > 1 << 16;
        if quiet {
            match timeout(QUIET, self.read()).await {
                Ok(read) => return read,
                Err(_) => {
                    self.inbox.shrink();
                    self.line.spare = Vec::new();
                }
            }
        }
        match idle {
            None => self.read().await,
            Some(idle) => match timeout(idle, self.read()).await {
                Ok(read) => read,
                Err(_) => Err(Closed::Idle),
            },
        }
    }

    /// Reads the rest of a message.
    async fn rest(&mut self) -> Result<Message, Closed> {
        loop {
            if let Some(message) = self.next_in_inbox()? {
                return Ok(message);
            }
            self.read().await?;
        }
    }

    /// A whole message, if one has arrived; what does not begin as one is
    /// another protocol, and not waited for.
    fn next_in_inbox(&mut self) -> Result<Option<Message>, Closed> {
        if self.inbox.begun().first().is_some_and(|byte| *byte != b'{') {
            return Err(Closed::NotVarlink);
        }
        Ok(self.inbox.next())
    }

    async fn read(&mut self) -> Flow {
        if self.inbox.room().is_err() {
            self.refuse_long().await;
        }
        let room = self.inbox.room().map_err(|_| Closed::TooLong)?;
        let (line, fds, most) = (&mut self.line, &mut self.fds, self.most_fds);
        let stopping = stopped(&mut line.stopping);
        let stream = &mut line.stream;
        let read = async {
            if most == 0 {
                return stream.read(room).await;
            }
            let stream = &*stream;
            stream
                .async_io(Interest::READABLE, || {
                    descriptors::receive(stream, room, fds, most)
                })
                .await
        };
        let read = tokio::select! {
            biased;
            read = read => read,
            () = stopping => return Err(Closed::Stopping),
        };
        match read {
            Ok(0) => Err(Closed::ByClient),
            Ok(count) => {
                self.inbox.arrived(count);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Closed::Descriptors),
            Err(_) => Err(Closed::Broken),
        }
    }

    /// Says why a message was not read to its end.
    async fn refuse_long(&self) {
        let most = self.line.shared.limits.message;
        let reason = format!("longer than {most} bytes");
        let mut text = Vec::new();
        output::error(&mut text, errors::MALFORMED, &[("reason", &reason)]);
        // The connection is closed anyway.
        let _ended = self.line.write(&text).await;
    }
}

impl Line {
    /// Waits for the first byte and leaves it where it is.
    #[cfg(feature = "python")]
    async fn first_byte(&self) -> Result<u8, Closed> {
        let looking = self.stream.async_io(Interest::READABLE, || {
            let mut byte = [0];
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let (count, _) = recv(&self.stream, &mut byte, flags)?;
            let [byte] = byte;
            Ok((count > 0).then_some(byte))
        });
        let mut stopping = self.stopping.clone();
        let seen = tokio::select! {
            seen = timeout(self.shared.limits.first, looking) => seen,
            () = stopped(&mut stopping) => return Err(Closed::Stopping),
        };
        seen.map_err(|_| Closed::Idle)?
            .map_err(|_| Closed::Broken)?
            .ok_or(Closed::ByClient)
    }

    pub(super) fn caller(&self, method: &'static Method) -> Caller {
        Caller {
            peer: Arc::clone(&self.peer),
            groups: Arc::clone(&self.shared.groups),
            hangup: Arc::clone(&self.hangup),
            method,
            id: self.shared.next_id(),
        }
    }

    /// Takes a turn at the rate of the user: how long to wait for it.
    pub(super) fn pace(&self) -> Duration {
        if self.peer.is_root() {
            return Duration::ZERO;
        }
        let shared = &self.shared;
        shared
            .users
            .pace(self.peer.uid, shared.limits.rate, shared.now())
    }

    /// Writes within the time that a client has to take it.
    pub(super) async fn write(&self, bytes: &[u8]) -> Flow {
        self.write_with_fds(bytes, Vec::new()).await
    }

    pub(super) async fn write_with_fds(&self, bytes: &[u8], fds: Vec<OwnedFd>) -> Flow {
        match timeout(self.shared.limits.write, self.write_all(bytes, fds)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::Broken),
            Err(_) => Err(Closed::NotRead),
        }
    }

    async fn write_all(&self, mut bytes: &[u8], mut fds: Vec<OwnedFd>) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = if fds.is_empty() {
                self.stream
                    .async_io(Interest::WRITABLE, || {
                        Ok(send(&self.stream, bytes, SendFlags::NOSIGNAL)?)
                    })
                    .await?
            } else {
                let borrowed: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
                self.stream
                    .async_io(Interest::WRITABLE, || {
                        descriptors::send(&self.stream, bytes, &borrowed)
                    })
                    .await?
            };
            fds.clear();
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Notices when the client goes; never ends. Nothing is taken from the
    /// socket: what the client has sent already waits for its turn.
    pub(super) async fn watch(&self) {
        while !hung_up(&self.stream) {
            if self.stream.readable().await.is_err() {
                break;
            }
            let peeked = self
                .stream
                .try_io(Interest::READABLE, || Ok(peek(&self.stream)?));
            let nothing = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
            if !peeked.is_err_and(|error| nothing(&error)) && !hung_up(&self.stream) {
                // More calls, or the end of them: the socket stays readable and
                // tells no more by itself.
                sleep(LOOK_AGAIN).await;
            }
        }
        self.hangup.set();
        std::future::pending::<()>().await;
    }
}

/// Whether the client has closed its end for reading and writing.
fn hung_up(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec::default();
    let result = poll(&mut polled, Some(&now));
    let [polled] = polled;
    result.is_ok() && polled.revents().contains(PollFlags::HUP)
}

/// Looks at the next byte and leaves it where it is.
fn peek(stream: &UnixStream) -> rustix::io::Result<usize> {
    let (count, _) = recv(
        stream,
        &mut [0_u8; 1],
        RecvFlags::PEEK | RecvFlags::DONTWAIT,
    )?;
    Ok(count)
}

/// Waits for the daemon's shutdown.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A daemon that is gone without a word has stopped as well.
    let _gone = stopping.wait_for(|stop| *stop).await;
}

/// The most descriptors that any method takes of this client: none of a client
/// that may call no such method.
fn most_descriptors(shared: &Shared, peer: &Peer) -> usize {
    let takes = |owner| Subject {
        peer,
        owner,
        groups: &shared.groups,
    };
    shared
        .registry
        .all()
        // Who owns may change: it is asked again when the call is made.
        .filter(|found| found.method.access.allows(&takes(Some(peer.uid))))
        .map(|found| usize::from(found.method.fds_most))
        .max()
        .unwrap_or(0)
}
