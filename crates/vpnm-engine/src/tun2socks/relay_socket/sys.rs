//! What the relay's socket needs that has no safe form.

#![expect(unsafe_code, reason = "recvmmsg, UDP_GRO, readiness")]

use std::io;
use std::mem::{self, size_of_val};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::{SLOTS, Slot, joined_size};

/// Room for one control message with a number, aligned.
type Control = [u64; 3];

/// Has the kernel hand over datagrams of one size and sender that arrived together as one
/// (`UDP_GRO`, since Linux 5.0).
pub(super) fn join_datagrams(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).map_err(io::Error::other)?;
    let value = ptr::from_ref(&on).cast();
    let fd = socket.as_raw_fd();
    // SAFETY: the value and its size are those of a local.
    let status = unsafe { libc::setsockopt(fd, libc::SOL_UDP, libc::UDP_GRO, value, size) };
    if status < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has the runtime watch a socket.
pub(super) fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a UdpSocket's descriptor stays open and the same for as long as it lives,
    // and the AsyncFd owns it.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    Ok(watched?)
}

/// Receives datagrams that are there into the pieces of `space`, of `size` bytes each,
/// without waiting; how many pieces were filled. What is longer than its piece is cut.
pub(super) fn receive(
    socket: BorrowedFd<'_>,
    space: &mut [u8],
    size: usize,
    slots: &mut [Slot; SLOTS],
) -> io::Result<usize> {
    // SAFETY: all zero bytes are headers without content.
    let mut headers: [libc::mmsghdr; SLOTS] = unsafe { mem::zeroed() };
    // SAFETY: all zero bytes are pieces of no length.
    let mut pieces: [libc::iovec; SLOTS] = unsafe { mem::zeroed() };
    let mut controls: [Control; SLOTS] = [[0; 3]; SLOTS];
    let mut count = 0;
    let space = space.chunks_exact_mut(size);
    let rest = pieces.iter_mut().zip(&mut controls).zip(space);
    for (header, ((piece, control), space)) in headers.iter_mut().zip(rest) {
        piece.iov_base = space.as_mut_ptr().cast();
        piece.iov_len = space.len();
        header.msg_hdr.msg_iov = ptr::from_mut(piece);
        header.msg_hdr.msg_iovlen = 1;
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = size_of_val(control);
        count += 1;
    }
    let fd = socket.as_raw_fd();
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: the first `count` headers, and all they point to, outlive the call.
    let received =
        unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), count, flags, ptr::null_mut()) };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    let filled = headers.iter().zip(&controls).take(received);
    for (slot, (header, control)) in slots.iter_mut().zip(filled) {
        slot.length = usize::try_from(header.msg_len).unwrap_or(0).min(size);
        let control = control.map(u64::to_ne_bytes);
        let told = control.as_flattened().get(..header.msg_hdr.msg_controllen);
        slot.segment = told.and_then(joined_size).unwrap_or(slot.length);
    }
    Ok(received)
}
