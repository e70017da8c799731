//! The socket to a proxy's relay of datagrams.

mod sys;

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{SendFlags, send};
use socket2::{Domain, MsgHdr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::proxy::Bypass;

/// Bytes of datagrams that may wait to be read: 10 ms of 200 000 a second, which is how
/// long a busy machine lets a process wait. The kernel's own limit for all sockets holds
/// beside it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Datagrams received by one system call.
const SLOTS: usize = 16;
/// Room for the longest datagram, or the most of them that are handed over as one. The
/// kernel touches only as much of it as there is. Two cache lines more, so that all slots
/// do not begin at addresses for which a processor's cache has the same few places.
const SLOT: usize = 65_536 + 128;

/// Datagrams that were received together; one serves all sockets of a thread.
#[derive(Debug)]
pub(super) struct Received {
    space: Box<[u8]>,
    slots: [Slot; SLOTS],
    count: usize,
}

/// What one slot holds: datagrams of `segment` bytes each, the last possibly shorter.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    length: usize,
    segment: usize,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            space: vec![0; SLOTS * SLOT].into_boxed_slice(),
            slots: [Slot::default(); SLOTS],
            count: 0,
        }
    }
}

impl Received {
    /// Each of them, none that is empty.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        let slots = self.space.chunks_exact(SLOT).zip(&self.slots);
        let filled = slots.take(self.count);
        filled.flat_map(|(space, slot)| {
            let content = space.get(..slot.length).unwrap_or_default();
            content.chunks(slot.segment.max(1))
        })
    }
}

/// A connected socket: only the relay's datagrams arrive.
///
/// Watched for what arrives only: whoever waits for room as well is woken for every
/// packet that has left, which is as often as one is sent.
#[derive(Debug)]
pub(super) struct RelaySocket {
    socket: AsyncFd<UdpSocket>,
    /// Datagrams from this size on the kernel does not cut, since they are longer than
    /// the way's MTU, or since it cannot cut at all.
    cuts_below: Cell<usize>,
}

impl RelaySocket {
    /// A socket for the relay at an address.
    pub(super) fn connect(relay: SocketAddr, bypass: &Bypass) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(relay), Type::DGRAM.nonblocking(), None)?;
        bypass.mark(&SockRef::from(&socket))?;
        // More than the system's limit needs a privilege.
        if set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        socket.connect(&relay.into())?;
        if let Err(error) = sys::join_datagrams(socket.as_fd()) {
            tracing::debug!(%error, "datagrams are received one by one");
        }
        Ok(Self {
            socket: sys::watch(socket.into(), Interest::READABLE)?,
            cuts_below: Cell::new(usize::MAX),
        })
    }

    /// Sends datagrams of `segment` bytes each, the last possibly shorter, that stand back
    /// to back in `bytes`; says of how many bytes the kernel took care, those included
    /// that it lost.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when the kernel has no room for even one.
    pub(super) fn try_send_run(&self, bytes: &[u8], segment: usize) -> io::Result<usize> {
        let segment = segment.max(1);
        if bytes.len() > segment && segment < self.cuts_below.get() {
            match send_cut(self.socket.get_ref(), bytes, segment) {
                Ok(()) => return Ok(bytes.len()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) if error.raw_os_error() == Some(libc::EIO) => self.cuts_below.set(0),
                Err(error) if is_too_long(&error) => self.cuts_below.set(segment),
                // An ICMP message about an earlier datagram: these were not sent.
                Err(_) => {}
            }
        }
        self.send_singly(bytes, segment)
    }

    fn send_singly(&self, bytes: &[u8], segment: usize) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            let datagram = rest.get(..segment.min(rest.len())).unwrap_or_default();
            match send(self.socket.get_ref(), datagram, SendFlags::empty()) {
                Err(Errno::AGAIN) if taken == 0 => return Err(Errno::AGAIN.into()),
                Err(Errno::AGAIN) => return Ok(taken),
                // Any other error is this datagram's, or an ICMP message about an earlier one.
                Ok(_) | Err(_) => taken += datagram.len(),
            }
            if taken == bytes.len() {
                return Ok(taken);
            }
        }
    }

    /// Completes when there may be room again.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let socket = self.socket.get_ref().try_clone()?;
        let watched = sys::watch(socket, Interest::WRITABLE)?;
        watched.writable().await.map(drop)
    }

    /// Completes when there may be something to receive.
    pub(super) async fn readable(&self) -> io::Result<()> {
        // For the one who receives, of whom the runtime needs not keep a list.
        poll_fn(|cx| self.socket.poll_read_ready(cx))
            .await
            .map(drop)
    }

    /// Receives datagrams that are there; into how many slots.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there are none, which is not asked again after
    /// a receive that left slots empty.
    pub(super) fn try_receive(&self, into: &mut Received) -> io::Result<usize> {
        let Received {
            space,
            slots,
            count,
        } = into;
        *count = 0;
        let received = self.socket.try_io(Interest::READABLE, |socket| {
            *count = sys::receive(socket.as_fd(), space, SLOT, slots)?;
            match *count {
                SLOTS => Ok(()),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        match received {
            Err(error) if *count == 0 => Err(error),
            Ok(()) | Err(_) => Ok(*count),
        }
    }
}

/// Whether the kernel will not cut into pieces of this size.
fn is_too_long(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::MSGSIZE | Errno::OPNOTSUPP | Errno::NOPROTOOPT)
    )
}

/// Hands all to the kernel at once, which cuts them apart as late as it can.
fn send_cut(socket: &UdpSocket, bytes: &[u8], segment: usize) -> io::Result<()> {
    let size = u16::try_from(segment).map_err(|_| Errno::INVAL)?;
    let control = segment_message(size);
    let pieces = [IoSlice::new(bytes)];
    let message = MsgHdr::new().with_buffers(&pieces).with_control(&control);
    SockRef::from(socket).sendmsg(&message, 0).map(drop)
}

/// Bytes of a control message's header: its length, level and type.
const HEADER: usize = size_of::<usize>() + 8;

/// The control message `UDP_SEGMENT`, as cmsg(3) lays it out.
fn segment_message(size: u16) -> [u8; HEADER + size_of::<usize>()] {
    let mut message = [0; HEADER + size_of::<usize>()];
    let length = HEADER + size_of::<u16>();
    let fields = length
        .to_ne_bytes()
        .into_iter()
        .chain(libc::SOL_UDP.to_ne_bytes())
        .chain(libc::UDP_SEGMENT.to_ne_bytes())
        .chain(size.to_ne_bytes());
    for (place, byte) in message.iter_mut().zip(fields) {
        *place = byte;
    }
    message
}

/// The size of the datagrams that came as one, if this control message is of `UDP_GRO`.
fn joined_size(message: &[u8]) -> Option<usize> {
    let (header, value) = message.split_at_checked(HEADER)?;
    let kind = [libc::SOL_UDP, libc::UDP_GRO].map(i32::to_ne_bytes);
    if !header.ends_with(kind.as_flattened()) {
        return None;
    }
    let size = i32::from_ne_bytes(*value.first_chunk()?);
    usize::try_from(size).ok().filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(level: i32, kind: i32, value: i32) -> Vec<u8> {
        let length = (HEADER + size_of::<i32>()).to_ne_bytes();
        let fields = [level, kind, value].map(i32::to_ne_bytes);
        [&length, fields.as_flattened()].concat()
    }

    #[test]
    fn only_what_the_kernel_joined_is_cut() {
        let joined = control(libc::SOL_UDP, libc::UDP_GRO, 1_200);
        assert_eq!(joined_size(&joined), Some(1_200));
        for other in [
            control(libc::SOL_SOCKET, libc::UDP_GRO, 1_200),
            control(libc::SOL_UDP, libc::UDP_SEGMENT, 1_200),
            control(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 7),
            control(libc::SOL_UDP, libc::UDP_GRO, 0),
            control(libc::SOL_UDP, libc::UDP_GRO, -1),
        ] {
            assert_eq!(joined_size(&other), None, "{other:?}");
        }
        for length in 0..joined.len() {
            assert_eq!(joined_size(&joined[..length]), None, "{length}");
        }
    }

    fn pair() -> (UdpSocket, RelaySocket) {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let ours = RelaySocket::connect(peer.local_addr().unwrap(), &Bypass::default()).unwrap();
        (peer, ours)
    }

    fn address(ours: &RelaySocket) -> SocketAddr {
        ours.socket.get_ref().local_addr().unwrap()
    }

    /// Receives what is there as soon as there is something; into how many slots.
    async fn receive(socket: &RelaySocket, into: &mut Received) -> usize {
        loop {
            socket.readable().await.unwrap();
            match socket.try_receive(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received.unwrap(),
            }
        }
    }

    #[tokio::test]
    async fn datagrams_that_come_joined_are_told_apart() {
        let (peer, ours) = pair();
        peer.connect(address(&ours)).unwrap();
        let joined: Vec<u8> = (0..=u8::MAX).cycle().take(20 * 1_000 + 7).collect();
        send_cut(&peer, &joined, 1_000).unwrap();
        peer.send(b"alone").unwrap();
        let mut sent: Vec<&[u8]> = joined.chunks(1_000).collect();
        sent.push(b"alone");
        let (mut received, mut got, mut slots) = (Received::default(), Vec::new(), 0);
        while got.len() < sent.len() {
            slots += receive(&ours, &mut received).await;
            got.extend(received.datagrams().map(<[u8]>::to_vec));
        }
        assert_eq!(got, sent);
        assert!(slots < sent.len(), "none came joined");
    }

    #[tokio::test]
    async fn all_that_is_there_is_received_however_much() {
        let (peer, ours) = pair();
        let mut received = Received::default();
        for count in [1, SLOTS - 1, SLOTS, SLOTS + 1, 3 * SLOTS] {
            for number in 0..count {
                let size = 100 + number;
                peer.send_to(&vec![7; size], address(&ours)).unwrap();
            }
            let mut got = Vec::new();
            while got.len() < count {
                receive(&ours, &mut received).await;
                got.extend(received.datagrams().map(<[u8]>::len));
            }
            let sizes: Vec<_> = (0..count).map(|number| 100 + number).collect();
            assert_eq!(got, sizes);
        }
    }
}
