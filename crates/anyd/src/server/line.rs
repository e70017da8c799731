//! A connection's line to its client: what calls and protocols have in common.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::caller::Caller;
use super::hangup::Hangup;
use super::shared::Shared;
use crate::method::Method;
use crate::peer::Peer;
use crate::stream::Stream;

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

/// The client's end of a connection, and whose it is.
pub(super) struct Line {
    pub(super) stream: Stream,
    pub(super) shared: Arc<Shared>,
    pub(super) peer: Arc<Peer>,
    pub(super) hangup: Arc<Hangup>,
    pub(super) stopping: watch::Receiver<bool>,
    /// The last answer's memory, for the next one.
    pub(super) spare: Vec<u8>,
}

/// How often to look for a client whose socket stays readable.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Line {
    /// Waits for the first byte and leaves it where it is.
    #[cfg(feature = "python")]
    pub(super) async fn first_byte(&self) -> Result<u8, Closed> {
        let mut stopping = self.stopping.clone();
        let seen = tokio::select! {
            seen = timeout(self.shared.limits.first, self.stream.peek()) => seen,
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
        let fds: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        let sending = self.stream.send(bytes, &fds);
        match timeout(self.shared.limits.write, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Closed::Broken),
            Err(_) => Err(Closed::NotRead),
        }
    }

    /// Notices when the client goes; never ends. Nothing is taken from the
    /// socket: what the client has sent already waits for its turn.
    pub(super) async fn watch(&self) {
        while !hung_up(&self.stream) && self.stream.peek().await.is_ok() {
            if !hung_up(&self.stream) {
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
fn hung_up(stream: &Stream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::empty())];
    let now = Timespec::default();
    let result = poll(&mut polled, Some(&now));
    let [polled] = polled;
    result.is_ok() && polled.revents().contains(PollFlags::HUP)
}

/// Waits for the daemon's shutdown.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A daemon that is gone without a word has stopped as well.
    let _gone = stopping.wait_for(|stop| *stop).await;
}
