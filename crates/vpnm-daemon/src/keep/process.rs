//! The process that holds the packet filter's socket, and does nothing else.
//!
//! It has no rights, so that it can do nothing with the socket; it gives it to root,
//! who asks by a connection, and goes on holding it. Nothing but a signal ends it, or
//! the end of the process that was to outlive the daemon, if the daemon was to.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, listen, sockopt};

use super::address::BACKLOG;
use super::{passing, sys};

/// Where it is asked: at a path, and by a name.
const LISTENERS: usize = 2;

/// Why the process does not hold anything, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Standard input is not the daemon's socket: somebody typed the command.
    #[error("only the daemon starts this, and gives it what to hold")]
    NotStarted,
    /// The system refused.
    #[error("cannot go on holding")]
    System(#[from] io::Error),
    /// The jail did not close.
    #[error("the jail did not close")]
    Jail(#[source] Box<dyn Error + Send + Sync>),
}

/// Receives the packet filter's socket, two listeners, and perhaps a process from the
/// daemon, on standard input, closes the `jail`, and holds the socket until it is killed
/// or that process has ended.
///
/// # Errors
/// [`HoldError`]; then nobody holds anything.
pub fn hold_filter<E>(jail: impl FnOnce() -> Result<(), E>) -> Result<Infallible, HoldError>
where
    E: Error + Send + Sync + 'static,
{
    let received = passing::receive(io::stdin()).map_err(|_| HoldError::NotStarted)?;
    let [filter, watched @ ..] = received.as_slice() else {
        return Err(HoldError::NotStarted);
    };
    let Some((listeners, _)) = watched.split_at_checked(LISTENERS) else {
        return Err(HoldError::NotStarted);
    };
    // Again, so that the kernel tells those who connect from now on who is asked.
    for listener in listeners {
        listen(listener, BACKLOG).map_err(io::Error::from)?;
    }
    let events = watched.iter().map(|fd| PollFd::new(fd, PollFlags::IN));
    let mut events: Vec<PollFd<'_>> = events.collect();
    jail().map_err(|error| HoldError::Jail(Box::new(error)))?;
    loop {
        match poll(&mut events, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(HoldError::System(error.into())),
        }
        let came = events.iter().map(|event| !event.revents().is_empty());
        if came.clone().skip(LISTENERS).any(|ended| ended) {
            sys::end_at_once();
        }
        for (listener, _) in listeners.iter().zip(came).filter(|(_, asked)| *asked) {
            if let Ok(connection) = accept_with(listener, SocketFlags::CLOEXEC) {
                answer(&connection, filter);
            }
        }
    }
}

/// Gives the socket to root; whoever else may have got here gets nothing.
fn answer(connection: &OwnedFd, filter: &OwnedFd) {
    if sockopt::socket_peercred(connection).is_ok_and(|peer| peer.uid.is_root()) {
        // One that is gone does not need it.
        let _gone = passing::send(connection, &[filter.as_fd()]);
    }
}
