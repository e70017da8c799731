//! Socket options of netlink sockets (include/uapi/linux/netlink.h).

#![expect(unsafe_code, reason = "these socket options have no safe interface")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

/// Whether an option could be set; an older kernel does without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Feature {
    /// Errors do not repeat the request they are about.
    ShortErrors,
    /// Errors carry the kernel's own words.
    ErrorWords,
    /// Dumps heed the filters in their request.
    FilteredDumps,
}

/// Turns a feature on; a kernel that does not know it is left as it is.
pub(crate) fn enable(socket: &OwnedFd, feature: Feature) {
    let option = match feature {
        Feature::ShortErrors => libc::NETLINK_CAP_ACK,
        Feature::ErrorWords => libc::NETLINK_EXT_ACK,
        Feature::FilteredDumps => libc::NETLINK_GET_STRICT_CHK,
    };
    let on: c_int = 1;
    let length =
        libc::socklen_t::try_from(size_of::<c_int>()).expect("invariant: the size of an int fits");
    // SAFETY: the descriptor is open, and the call reads `length` bytes of `on`.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option,
            (&raw const on).cast(),
            length,
        )
    };
}

/// The kernel's number of a socket's network namespace (Linux 5.14).
pub(crate) fn namespace(socket: &OwnedFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open, and the call writes at most `length` bytes, which
    // is the size of `cookie`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok(cookie)
    } else {
        Err(io::Error::last_os_error())
    }
}
