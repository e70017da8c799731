//! What the device needs that has no safe form.

#![expect(unsafe_code, reason = "ioctl requests and readiness of a descriptor")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use tokio::io::unix::AsyncFd;

/// `TUNGETVNETHDRSZ`: bytes of virtio header per packet.
const TUNGETVNETHDRSZ: libc::Ioctl = 0x8004_54d7;

/// Bytes of virtio header in front of each packet of the queue; 0 if it has none, or
/// if the descriptor is no TUN queue but something else that carries packets.
///
/// Fails if the link was deleted. While that is under way it waits: the kernel answers
/// under the same lock.
pub(super) fn header_length(fd: BorrowedFd<'_>) -> io::Result<usize> {
    // SAFETY: all zero bytes are a valid ifreq, which is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one ifreq, for which `request` has room.
    let status = unsafe {
        libc::ioctl(
            fd.as_raw_fd(),
            libc::TUNGETIFF as libc::Ioctl,
            &raw mut request,
        )
    };
    if status < 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::EINVAL) => Ok(0),
            _ => Err(error),
        };
    }
    // SAFETY: TUNGETIFF fills in the flags, and every bit pattern is a short.
    let flags = libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags });
    if flags & libc::IFF_NO_PI == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the TUN queue prepends packet information, it must be opened with IFF_NO_PI",
        ));
    }
    if flags & libc::IFF_VNET_HDR == 0 {
        return Ok(0);
    }
    let mut length: libc::c_int = 0;
    // SAFETY: the request writes one int, for which `length` has room.
    let status = unsafe { libc::ioctl(fd.as_raw_fd(), TUNGETVNETHDRSZ, &raw mut length) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(length).unwrap_or(0))
}

/// Has the runtime watch a descriptor, which it must be able to.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd stays open and the same for as long as it lives, and the
    // AsyncFd owns it.
    let watched = unsafe { AsyncFd::register(fd) };
    Ok(watched?)
}
