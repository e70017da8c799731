//! What no safe wrapper offers.
#![expect(unsafe_code, reason = "raw system calls, each with its reason")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

/// The process that listens on the other side of a connection (`SO_PEERPIDFD`, Linux
/// 6.5): that very process, whatever becomes of its number.
pub(super) fn peer_process(connection: impl AsFd) -> io::Result<OwnedFd> {
    let mut process: c_int = -1;
    let mut length = libc::socklen_t::try_from(size_of::<c_int>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the call writes at most `length` bytes, which
    // is the size of `process`.
    let result = unsafe {
        libc::getsockopt(
            connection.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut process).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(process) })
}

/// Ends this process by a single system call: what an orderly end does besides is not
/// permitted in the jail.
pub(super) fn end_at_once() -> ! {
    // SAFETY: nothing runs afterwards, and nobody waits for what is not written.
    unsafe { libc::_exit(0) }
}
