//! Many datagrams per system call, so that loads and servers are not the bottleneck.

#![expect(
    unsafe_code,
    reason = "recvmmsg and sendmmsg have no safe form that keeps the senders' addresses, \
              nor have UDP_GRO and UDP_SEGMENT"
)]

use std::io;
use std::mem::{self, size_of_val};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd as _};
use std::ptr;

/// Room for one control message with a number, aligned.
type Control = [u64; 3];
/// Bytes of a control message's header: its length, level and type.
const CONTROL_HEADER: usize = size_of::<usize>() + 8;

/// Whether datagrams of one size and sender that come together are received as one.
pub(crate) fn join(socket: &impl AsFd, joined: bool) -> io::Result<()> {
    set(socket, libc::UDP_GRO, libc::c_int::from(joined))
}

/// Has the kernel cut whatever is sent into datagrams of `size` bytes; 0 to cut nothing.
pub(crate) fn cut(socket: &impl AsFd, size: usize) -> io::Result<()> {
    let size = libc::c_int::try_from(size).map_err(io::Error::other)?;
    set(socket, libc::UDP_SEGMENT, size)
}

fn set(socket: &impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let size = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    let place = ptr::from_ref(&value).cast();
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the value and its size are those of a local.
    match unsafe { libc::setsockopt(fd, libc::SOL_UDP, option, place, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Datagrams received by one system call, with their senders.
pub(crate) struct Batch {
    space: Vec<u8>,
    /// Bytes of room for each.
    size: usize,
    names: Vec<libc::sockaddr_in>,
    lengths: Vec<usize>,
    /// Where a slot holds several, the size of each but the last.
    controls: Vec<Control>,
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
            controls: vec![Control::default(); slots],
            count: 0,
        }
    }

    /// Receives what is there, waiting for the first as the socket does; into how many slots.
    pub(crate) fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        self.count = 0;
        self.controls.fill(Control::default());
        self.lengths.fill(self.size);
        self.pass(self.names.len(), true, |headers, count| {
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
        self.pass(self.count, false, |headers, count| {
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
        let sizes = self.controls.iter().map(segment);
        let senders = self.names.iter().map(|name| {
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            SocketAddrV4::new(ip, u16::from_be(name.sin_port))
        });
        let slots = senders.zip(content.zip(sizes)).take(self.count);
        slots.flat_map(|(sender, (content, size))| {
            let datagrams = content.chunks(size.unwrap_or(content.len()).max(1));
            datagrams.map(move |datagram| (sender, datagram))
        })
    }

    /// Hands the first `count` slots to a system call, which may be `told` the sizes of what
    /// they hold; the lengths it reports.
    fn pass(
        &mut self,
        count: usize,
        told: bool,
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
            .zip(&mut self.controls)
            .map(|((name, piece), control)| header(name, piece, told.then_some(control)))
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

/// What a control message of `UDP_GRO` tells; `None` where there is none.
fn segment(control: &Control) -> Option<usize> {
    let bytes = control.map(u64::to_ne_bytes);
    let value = bytes.as_flattened().get(CONTROL_HEADER..)?.first_chunk()?;
    let size = usize::try_from(i32::from_ne_bytes(*value)).ok()?;
    (size > 0).then_some(size)
}

fn header(
    name: &mut libc::sockaddr_in,
    piece: &mut libc::iovec,
    control: Option<&mut Control>,
) -> libc::mmsghdr {
    // SAFETY: all zero bytes are a header without content.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_name = ptr::from_mut(name).cast();
    header.msg_hdr.msg_namelen = u32::try_from(size_of_val(name)).unwrap_or(0);
    header.msg_hdr.msg_iov = piece;
    header.msg_hdr.msg_iovlen = 1;
    if let Some(control) = control {
        header.msg_hdr.msg_control = control.as_mut_ptr().cast();
        header.msg_hdr.msg_controllen = size_of_val(control);
    }
    header
}
