//! Bytes and descriptors over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The most descriptors that travel with one message.
pub(crate) const MOST: usize = 32;

/// A message that a socket's usual buffer does not hold.
const LARGE: usize = 128 << 10;

/// Lets a socket take more of a large message at once, as far as the system
/// allows: each time that it is full costs both ends a change of processes.
pub(crate) fn make_room(socket: impl AsFd, message: usize) {
    if message > LARGE {
        // Without it the message takes longer.
        let _as_it_was = set_socket_send_buffer_size(socket, message);
    }
}

/// Sends bytes, and the descriptors with the first of them. How many bytes
/// were sent.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors for one message",
        ));
    }
    let sent = sendmsg(
        socket,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(sent)
}

/// Receives bytes. The kernel drops descriptors that come with them: whether there
/// were any.
#[cfg(feature = "server")]
pub(crate) fn receive_none(socket: impl AsFd, room: &mut [u8]) -> io::Result<(usize, bool)> {
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(room)],
        &mut RecvAncillaryBuffer::default(),
        RecvFlags::CMSG_CLOEXEC,
    )?;
    Ok((received.bytes, received.flags.contains(ReturnFlags::CTRUNC)))
}

/// Receives bytes, and the descriptors that come with them into `fds`, which
/// never holds more than `most`: with more, the call fails.
pub(crate) fn receive(
    socket: impl AsFd,
    room: &mut [u8],
    fds: &mut Vec<OwnedFd>,
    most: usize,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        socket,
        &mut [IoSliceMut::new(room)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(arrived) = message {
            fds.extend(arrived);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) || fds.len() > most {
        fds.clear();
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "more descriptors than any method takes",
        ));
    }
    Ok(received.bytes)
}
