//! The daemon's side of the process that holds the packet filter's socket.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::UCred;
use rustix::net::sockopt::socket_peercred;
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use socket2::{Domain, SockAddr, Socket, Type};

use super::linux::Linux;
use super::{address, passing, sys};
use crate::engine::{self, Identity};

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

/// How one is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    /// Longest it may take to answer.
    pub(super) patience: Duration,
    /// The user it runs as.
    pub(super) uid: u32,
    pub(super) linux: Linux,
}

/// A place where one may listen.
#[derive(Debug)]
struct Door {
    address: SockAddr,
    asking: Asking,
    /// Strangers can listen there, too.
    is_public: bool,
}

/// Starts one that holds `filter` and listens at `path`, in the place of whoever may
/// have listened there, and by a name, until `starter` ends, if there is one. When this
/// returns the socket is held, and whoever connects will be answered.
pub(super) fn start(
    path: &Path,
    identity: Identity,
    filter: BorrowedFd<'_>,
    starter: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let (at_path, by_name) = (address::listen_at(path)?, address::listen_by_name()?);
    let (ours, theirs) = UnixStream::pair()?;
    let fds: Vec<BorrowedFd<'_>> = [filter, at_path.as_fd(), by_name.as_fd()]
        .into_iter()
        .chain(starter)
        .collect();
    // From here on they are on their way, and the other end keeps them there.
    passing::send(&ours, &fds)?;
    engine::spawn_to_stay(identity, "keep", theirs.into())
}

impl Keeper {
    /// Finds the one that listens at `path`, or whose path is gone, and the socket that it
    /// holds. It may be gone right after it gave that.
    pub(super) fn find(path: &Path, asking: Asking) -> Result<(Option<Self>, OwnedFd), Missing> {
        let address = SockAddr::unix(path).map_err(|_| Missing::Nobody)?;
        let at_path = Door {
            address,
            asking,
            is_public: false,
        };
        let by_name = address::names().into_iter().map(|address| Door {
            address,
            asking,
            is_public: true,
        });
        for door in std::iter::once(at_path).chain(by_name) {
            match door.ask() {
                Err(Missing::Nobody) => {}
                answered => return answered,
            }
        }
        Err(Missing::Nobody)
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

impl Door {
    fn ask(&self) -> Result<(Option<Keeper>, OwnedFd), Missing> {
        let (connection, peer) = self.connect()?;
        let asked = passing::receive(&connection).map(|mut received| received.pop());
        match asked {
            Ok(Some(filter)) => {
                // Now it is that process which listens, and not the one that started it.
                let again = self.connect().ok();
                let keeper = again.and_then(|(again, peer)| self.behind(&again, peer));
                Ok((keeper, filter))
            }
            Ok(None) => Err(Missing::Nobody),
            // It has ended meanwhile.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(Missing::Nobody),
            Err(_) => Err(Missing::Silent(self.behind(&connection, peer))),
        }
    }

    /// A connection, and who listens.
    fn connect(&self) -> Result<(Socket, UCred), Missing> {
        let attempt = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_read_timeout(Some(self.asking.patience))?;
            // One that is stopped answers nobody, and its queue may be full. A stranger's
            // is not waited for.
            socket.set_write_timeout(Some(self.asking.patience))?;
            socket.set_nonblocking(self.is_public)?;
            socket.connect(&self.address)?;
            socket.set_nonblocking(false)?;
            let peer = socket_peercred(&socket)?;
            Ok((socket, peer))
        };
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused];
        match attempt() {
            Ok((_, peer)) if self.is_public && !self.asking.trusts(peer) => Err(Missing::Nobody),
            Ok(connected) => Ok(connected),
            Err(error) if self.is_public || absent.contains(&error.kind()) => Err(Missing::Nobody),
            Err::<_, io::Error>(_) => Err(Missing::Silent(None)),
        }
    }

    /// The process that listens.
    fn behind(&self, connection: &Socket, peer: UCred) -> Option<Keeper> {
        let named = self.asking.linux.names_peers();
        let process = named.then(|| sys::peer_process(connection).ok()).flatten();
        let number = peer.pid.as_raw_nonzero().get();
        let process = process.or_else(|| self.by_number(peer))?;
        Some(Keeper { process, number })
    }

    /// As before Linux 6.5: by its number, which is its own for as long as it listens. One
    /// that has not begun to shows that of who started it, which another may have by now.
    fn by_number(&self, peer: UCred) -> Option<OwnedFd> {
        if peer.uid.is_root() {
            return None;
        }
        let process = pidfd_open(peer.pid, PidfdFlags::empty()).ok()?;
        let (_, still) = self.connect().ok()?;
        (still.pid == peer.pid && still.uid == peer.uid).then_some(process)
    }
}

impl Asking {
    fn trusts(&self, peer: UCred) -> bool {
        peer.uid.is_root() || peer.uid.as_raw() == self.uid
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn one_that_ends_while_it_is_asked_is_nobody() {
        let path = std::env::temp_dir().join(format!("vpnm-keeper-{}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let door = Door {
            address: SockAddr::unix(&path).unwrap(),
            asking: Asking {
                patience: Duration::from_secs(10),
                uid: 0,
                linux: Linux::of_environment(),
            },
            is_public: false,
        };
        let asked = thread::scope(|scope| {
            let asked = scope.spawn(|| door.ask());
            // Whoever asks is in the queue, and nobody will take it out of there.
            poll(&mut [PollFd::new(&listener, PollFlags::IN)], None).unwrap();
            drop(listener);
            asked.join().unwrap()
        });
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(asked, Err(Missing::Nobody)), "{asked:?}");
    }
}
