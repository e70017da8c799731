//! Whom a client takes for its daemon.

use std::io;
use std::os::fd::AsFd;

use crate::sys;

/// The user that must serve the socket. A client checks it before it says a
/// word (`SO_PEERCRED`), so that nobody else can pose as the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Root, as for every system daemon.
    #[default]
    Root,
    /// This user.
    Uid(u32),
    /// Root or the user that this process runs as: for daemons of a session.
    RootOrSelf,
    /// Anybody; for tests, and where something else vouches for the socket.
    Anyone,
}

/// Whether the socket is served by whom it must be.
pub(crate) fn verify(socket: impl AsFd, trust: Trust) -> io::Result<()> {
    let uid = sys::peer_credentials(socket)?.uid;
    let trusted = match trust {
        Trust::Root => uid == 0,
        Trust::Uid(expected) => uid == expected,
        Trust::RootOrSelf => uid == 0 || uid == rustix::process::geteuid().as_raw(),
        Trust::Anyone => true,
    };
    if trusted {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("the socket is served by uid {uid}, which is not trusted to be the daemon"),
    ))
}
