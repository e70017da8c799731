//! What the relay's socket needs that has no safe form.

#![expect(unsafe_code, reason = "recvmmsg")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use super::SLOTS;

/// Receives datagrams that are there into slots of `size` bytes each, without waiting;
/// how many, and the length of each. What is longer than its slot is cut.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    slots: &mut [u8],
    size: usize,
    lengths: &mut [usize; SLOTS],
) -> io::Result<usize> {
    // SAFETY: all zero bytes are headers without content.
    let mut headers: [libc::mmsghdr; SLOTS] = unsafe { mem::zeroed() };
    // SAFETY: all zero bytes are pieces of no length.
    let mut pieces: [libc::iovec; SLOTS] = unsafe { mem::zeroed() };
    let mut count = 0;
    let slots = slots.chunks_exact_mut(size);
    for ((header, piece), slot) in headers.iter_mut().zip(&mut pieces).zip(slots) {
        piece.iov_base = slot.as_mut_ptr().cast();
        piece.iov_len = slot.len();
        header.msg_hdr.msg_iov = ptr::from_mut(piece);
        header.msg_hdr.msg_iovlen = 1;
        count += 1;
    }
    let fd = socket.as_raw_fd();
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the first `count` headers, and all they point to, outlive the call.
    let received =
        unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count, flags, ptr::null_mut()) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (length, header) in lengths.iter_mut().zip(&headers) {
        *length = usize::try_from(header.msg_len).unwrap_or(0).min(size);
    }
    Ok(received)
}
