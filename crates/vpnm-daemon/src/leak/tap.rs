//! What leaves by any interface, seen behind every stop.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::frame;

/// Every protocol (`ETH_P_ALL`), as the kernel takes it.
const EVERY: u16 = 0x0003_u16.to_be();
/// A frame on its way out (`PACKET_OUTGOING`).
const OUTGOING: u32 = 4;
/// Attempts are short; the tunnel's own packets mostly are not.
const LONGEST: u32 = 256;

/// Where the kernel tells a filter of a frame's kind and interface
/// (`SKF_AD_OFF + SKF_AD_PKTTYPE`, `+ SKF_AD_IFINDEX`).
const KIND: u32 = 0xffff_f000 + 4;
const INTERFACE: u32 = 0xffff_f000 + 8;

/// A tap on every interface but those that stay inside.
pub(super) struct Tap {
    socket: Socket,
}

impl Tap {
    /// Listens from now on. Needs CAP_NET_RAW.
    pub(super) fn open(inside: &[u32]) -> io::Result<Self> {
        let every = Protocol::from(i32::from(EVERY));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(every))?;
        socket.attach_filter(&filter(inside))?;
        socket.set_nonblocking(true)?;
        let mut tap = Self { socket };
        // What came before the filter was in place is none of it.
        while tap.receive()?.is_some() {}
        Ok(tap)
    }

    /// The numbers of the attempts that leave until then.
    pub(super) fn read_until(&mut self, port: u16, end: Instant) -> io::Result<BTreeSet<u8>> {
        let mut numbers = BTreeSet::new();
        loop {
            while let Some(packet) = self.receive()? {
                numbers.extend(frame::number(&packet, port));
            }
            if Instant::now() >= end {
                return Ok(numbers);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut room = [0; 512];
        match self.socket.read(&mut room) {
            Ok(length) => Ok(room.get(..length).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // An interface went down: the others go on.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Takes short frames on their way out by an interface that is not inside.
fn filter(inside: &[u32]) -> Vec<SockFilter> {
    const LOAD: u16 = 0x20;
    const LOAD_LENGTH: u16 = 0x80;
    const EQUAL: u16 = 0x15;
    const GREATER: u16 = 0x25;
    const END: u16 = 0x06;
    let refuse = || SockFilter::new(END, 0, 0, 0);
    let mut steps = vec![
        SockFilter::new(LOAD, 0, 0, KIND),
        SockFilter::new(EQUAL, 1, 0, OUTGOING),
        refuse(),
        SockFilter::new(LOAD_LENGTH, 0, 0, 0),
        SockFilter::new(GREATER, 0, 1, LONGEST),
        refuse(),
        SockFilter::new(LOAD, 0, 0, INTERFACE),
    ];
    for index in inside {
        steps.push(SockFilter::new(EQUAL, 0, 1, *index));
        steps.push(refuse());
    }
    steps.push(SockFilter::new(END, 0, 0, u32::MAX));
    steps
}
