//! The option that has no safe form.

#![expect(unsafe_code, reason = "setsockopt, IP_LOCAL_PORT_RANGE")]

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

/// `IP_LOCAL_PORT_RANGE` of `linux/in.h`, since Linux 6.3.
const IP_LOCAL_PORT_RANGE: libc::c_int = 51;

/// Allows the socket the ports between these two, if the system has them among those that
/// the kernel gives out; the option is IPv4's, and holds for IPv6 too.
pub(super) fn allow_ports(socket: BorrowedFd<'_>, low: u16, high: u16) -> io::Result<()> {
    let range = u32::from(high) << 16 | u32::from(low);
    let size = libc::socklen_t::try_from(size_of_val(&range)).map_err(io::Error::other)?;
    let value = ptr::from_ref(&range).cast();
    let fd = socket.as_raw_fd();
    // SAFETY: the value and its size are those of a local.
    let status = unsafe { libc::setsockopt(fd, libc::SOL_IP, IP_LOCAL_PORT_RANGE, value, size) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
