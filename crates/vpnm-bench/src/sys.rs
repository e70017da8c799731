//! Many datagrams per system call, so that loads and servers are not the bottleneck.

#![expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg have no safe form that keeps the senders' addresses"
)]

use std::io;
use std::mem::{self, size_of_val};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr;

/// Datagrams received by one system call, with their senders.
pub(crate) struct Batch {
    space: Vec<u8>,
    /// Bytes of room for each.
    size: usize,
    names: Vec<libc::sockaddr_in>,
    lengths: Vec<usize>,
    count: usize,
}

impl Batch {
    /// Room for `slots` datagrams of `size` bytes each.
    pub(crate) fn new(slots: usize, size: usize) -> Self {
        // SAFETY: all zero bytes are a valid address of no family.
        let nobody: libc::sockaddr_in = unsafe { mem::zeroed() };
        Self {
            space: vec![0; slots * size],
            size,
            names: vec![nobody; slots],
            lengths: vec![0; slots],
            count: 0,
        }
    }

    /// Receives what is there, waiting for the first as the socket does; how many.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        self.count = 0;
        self.lengths.fill(self.size);
        self.pass(self.names.len(), |headers, count| {
            let fd = socket.as_fd().as_raw_fd();
            // SAFETY: the headers and all they point to outlive the call.
            unsafe { libc::recvmmsg(fd, headers, count, libc::MSG_WAITFORONE, ptr::null_mut()) }
        })
        .map(|lengths| {
            self.count = lengths.len();
            for (place, length) in self.lengths.iter_mut().zip(lengths) {
                *place = length;
            }
            self.count
        })
    }

    /// Sends what was received back to where it came from; how many were taken.
    pub(crate) fn send_back(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        self.pass(self.count, |headers, count| {
            let fd = socket.as_fd().as_raw_fd();
            // SAFETY: the headers and all they point to outlive the call.
            unsafe { libc::sendmmsg(fd, headers, count, libc::MSG_DONTWAIT) }
        })
        .map(|lengths| lengths.len())
    }

    /// What was received, each with its sender.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = (SocketAddrV4, &[u8])> {
        let slots = self.space.chunks(self.size.max(1)).zip(&self.lengths);
        let content = slots.map(|(slot, length)| slot.get(..*length).unwrap_or_default());
        let senders = self.names.iter().map(|name| {
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            SocketAddrV4::new(ip, u16::from_be(name.sin_port))
        });
        senders.zip(content).take(self.count)
    }

    /// Hands the first `count` slots to a system call; the lengths it reports.
    fn pass(
        &mut self,
        count: usize,
        call: impl FnOnce(*mut libc::mmsghdr, libc::c_uint) -> libc::c_int,
    ) -> io::Result<Vec<usize>> {
        let mut pieces: Vec<libc::iovec> = self
            .space
            .chunks_mut(self.size.max(1))
            .zip(&self.lengths)
            .take(count)
            .map(|(slot, length)| libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: *length,
            })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = self
            .names
            .iter_mut()
            .zip(&mut pieces)
            .map(|(name, piece)| header(name, piece))
            .collect();
        let slots = libc::c_uint::try_from(headers.len()).map_err(io::Error::other)?;
        let passed = call(headers.as_mut_ptr(), slots);
        let passed = usize::try_from(passed).map_err(|_| io::Error::last_os_error())?;
        let lengths = headers.iter().take(passed);
        Ok(lengths
            .map(|header| usize::try_from(header.msg_len).unwrap_or(0))
            .collect())
    }
}

fn header(name: &mut libc::sockaddr_in, piece: &mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: all zero bytes are a header without content.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = u32::try_from(size_of_val(name)).unwrap_or(0);
    header.msg_hdr.msg_iov = piece;
    header.msg_hdr.msg_iovlen = 1;
    header
}
