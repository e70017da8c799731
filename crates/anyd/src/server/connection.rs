//! One connection: messages in, answers out.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::call;
use super::line::{Closed, Flow, Line, stopped};
use super::output;
#[cfg(feature = "python")]
use super::python::{self, Protocol};
use super::shared::Shared;
use crate::access::Subject;
use crate::peer::Peer;
use crate::stream::Stream;
use crate::sys;
use crate::wire::{Inbox, Message, errors};

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

/// A quiet connection gives back the memory of large messages after this time.
const QUIET: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn new(
        stream: Stream,
        peer: Peer,
        shared: &Arc<Shared>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let most_fds = most_descriptors(shared, &peer);
        if most_fds == 0 && shared.registry.takes_descriptors() {
            // Others may send some: its listener lets them.
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
            if let Err(why) = self.handle(message).await {
                return why;
            }
            if let Err(why) = self.between() {
                return why;
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Flow {
        let fds = std::mem::take(&mut self.fds);
        call::handle(&mut self.line, self.inbox.bytes(message), fds).await
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
        let stream = &line.stream;
        let read = async {
            match most {
                0 => stream.receive(room).await,
                _ => stream.receive_with_fds(room, fds, most).await,
            }
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
        .filter(|found| found.method.fds_most > 0)
        // Who owns may change: it is asked again when the call is made.
        .filter(|found| found.method.access.allows(&takes(Some(peer.uid))))
        .map(|found| usize::from(found.method.fds_most))
        .max()
        .unwrap_or(0)
}
