//! The daemon's side of the process that holds the packet filter's socket.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{passing, sys};
use crate::engine::{self, Identity};

/// Who may wait to be answered: there is one daemon at a time.
pub(super) const BACKLOG: i32 = 16;
/// Longest one that was killed may take to be gone.
const END: Timespec = Timespec {
    tv_sec: 2,
    tv_nsec: 0,
};
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// One that runs.
#[derive(Debug)]
pub(super) struct Keeper {
    process: OwnedFd,
    pub(super) number: i32,
}

/// Why the one that is asked for is not known.
#[derive(Debug)]
pub(super) enum Missing {
    /// Nobody listens, nor is anybody about to.
    Nobody,
    /// It does not answer, or cannot be asked; who it is, if that is known.
    Silent(Option<Keeper>),
}

/// Starts one that holds `filter` and listens at `path`, in the place of whoever may
/// have listened there, until `starter` ends, if there is one. When this returns the
/// socket is held, and whoever connects will be answered.
pub(super) fn start(
    path: &Path,
    identity: Identity,
    filter: BorrowedFd<'_>,
    starter: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let listener = listen(path)?;
    let (ours, theirs) = UnixStream::pair()?;
    let fds: Vec<BorrowedFd<'_>> = [listener.as_fd(), filter]
        .into_iter()
        .chain(starter)
        .collect();
    // From here on they are on their way, and the other end keeps them there.
    passing::send(&ours, &fds)?;
    engine::spawn_to_stay(identity, "keep", theirs.into())
}

impl Keeper {
    /// Finds the one that listens at `path`, which may take until `patience` ends to
    /// answer, and the socket that it holds. It may be gone right after it gave that.
    pub(super) fn find(
        path: &Path,
        patience: Duration,
    ) -> Result<(Option<Self>, OwnedFd), Missing> {
        let connection = connect(path, patience)?;
        let asked = passing::receive(&connection).map(|mut received| received.pop());
        match asked {
            Ok(Some(filter)) => {
                // Now it is that process which listens, and not the one that started it.
                let again = connect(path, patience).ok();
                Ok((again.and_then(|again| Self::behind(&again)), filter))
            }
            Ok(None) => Err(Missing::Nobody),
            Err(_) => Err(Missing::Silent(Self::behind(&connection))),
        }
    }

    fn behind(connection: &Socket) -> Option<Self> {
        let process = sys::peer_process(connection).ok()?;
        let peer = rustix::net::sockopt::socket_peercred(connection).ok()?;
        let number = peer.pid.as_raw_nonzero().get();
        Some(Self { process, number })
    }

    /// Whether it has not ended.
    pub(super) fn lives(&self) -> bool {
        !self.has_ended_within(AT_ONCE)
    }

    /// Kills it, and waits until it is gone.
    pub(super) fn end(self) -> io::Result<()> {
        pidfd_send_signal(&self.process, Signal::KILL)?;
        if self.has_ended_within(END) {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }

    fn has_ended_within(&self, time: Timespec) -> bool {
        let mut ended = [PollFd::new(&self.process, PollFlags::IN)];
        poll(&mut ended, Some(&time)).is_ok_and(|count| count > 0)
    }
}

fn connect(path: &Path, patience: Duration) -> Result<Socket, Missing> {
    let attempt = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_read_timeout(Some(patience))?;
        // One that is stopped answers nobody, and its queue may be full.
        socket.set_write_timeout(Some(patience))?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(socket)
    };
    attempt().map_err(|error: io::Error| {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        if absent.contains(&error.kind()) {
            Missing::Nobody
        } else {
            Missing::Silent(None)
        }
    })
}

/// A listener at `path` that root alone can connect to.
fn listen(path: &Path) -> io::Result<Socket> {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    listener.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.listen(BACKLOG)?;
    Ok(listener)
}
