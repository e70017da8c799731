//! What leaves by any interface, seen behind every stop.

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::net::Ipv6Addr;

use socket2::{Domain, SockFilter, Socket, Type};
use vpnm_api::leak_check::{NETWORK_4, NETWORK_6};

use super::{frame, sys};

/// A frame on its way out (`PACKET_OUTGOING`).
const OUTGOING: u32 = 4;

/// Where the kernel tells a filter of a frame's kind and interface
/// (`SKF_AD_OFF + SKF_AD_PKTTYPE`, `+ SKF_AD_IFINDEX`).
const KIND: u32 = 0xffff_f000 + 4;
const INTERFACE: u32 = 0xffff_f000 + 8;

/// A tap on every interface but those that stay inside. It takes nothing but attempts
/// of checks, however busy the interfaces are.
pub(super) struct Tap {
    socket: Socket,
    port: u16,
    seen: BTreeSet<u8>,
}

impl Tap {
    /// Listens from now on for the attempts of the check with this port. Needs
    /// CAP_NET_RAW.
    pub(super) fn open(inside: &[u32], port: u16) -> io::Result<Self> {
        // Without a protocol it sees nothing before the filter is in place.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.attach_filter(&filter(inside))?;
        socket.set_nonblocking(true)?;
        sys::see_everything(&socket)?;
        Ok(Self {
            socket,
            port,
            seen: BTreeSet::new(),
        })
    }

    /// Takes what has arrived.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        while let Some(packet) = self.receive()? {
            self.seen.extend(frame::number(&packet, self.port));
        }
        Ok(())
    }

    /// The numbers of the attempts that left since the last call.
    ///
    /// # Errors
    /// Also when something was missed: nothing is known then.
    pub(super) fn seen(&mut self) -> io::Result<BTreeSet<u8>> {
        self.drain()?;
        match sys::missed(&self.socket)? {
            0 => Ok(std::mem::take(&mut self.seen)),
            missed => Err(io::Error::other(format!("{missed} frames were missed"))),
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

/// A program for the kernel: takes frames on their way out by an interface that is not
/// inside, to the networks of attempts or in search of a neighbour there. Offsets
/// count from the network header; what is too short for a load is not taken.
fn filter(inside: &[u32]) -> Vec<SockFilter> {
    let mut steps = vec![
        load(KIND),
        SockFilter::new(EQUAL, 1, 0, OUTGOING),
        refuse(),
        load(INTERFACE),
    ];
    for index in inside {
        steps.push(SockFilter::new(EQUAL, 0, 1, *index));
        steps.push(refuse());
    }
    let [a, b, c] = NETWORK_4;
    let network_4 = u32::from_be_bytes([a, b, c, 0]);
    steps.extend(when_4(0x0001_0800, u32::MAX, 24, network_4));
    steps.extend(when_4(0x4000_0000, 0xf000_0000, 16, network_4));
    steps.extend(when_6(24));
    // The target of a neighbour solicitation is where any other packet has payload.
    steps.extend(when_6(48));
    steps.push(refuse());
    steps
}

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const AND: u16 = 0x54;
const END: u16 = 0x06;
const LAST_BYTE: u32 = 0xff;

fn load(offset: u32) -> SockFilter {
    SockFilter::new(LOAD, 0, 0, offset)
}

fn refuse() -> SockFilter {
    SockFilter::new(END, 0, 0, 0)
}

fn take() -> SockFilter {
    SockFilter::new(END, 0, 0, u32::MAX)
}

/// Takes a packet that begins as told and has an address of the IPv4 network there.
fn when_4(begins: u32, mask: u32, at: u32, network: u32) -> [SockFilter; 7] {
    [
        load(0),
        SockFilter::new(AND, 0, 0, mask),
        SockFilter::new(EQUAL, 0, 4, begins),
        load(at),
        SockFilter::new(AND, 0, 0, !LAST_BYTE),
        SockFilter::new(EQUAL, 0, 1, network),
        take(),
    ]
}

/// Takes an IPv6 packet that has an address of the IPv6 network there.
fn when_6(at: u32) -> [SockFilter; 13] {
    let words = words(NETWORK_6);
    let equal = |word: usize, other| {
        let value = words.get(word).copied().unwrap_or_default();
        SockFilter::new(EQUAL, 0, other, value)
    };
    [
        load(0),
        SockFilter::new(AND, 0, 0, 0xf000_0000),
        SockFilter::new(EQUAL, 0, 10, 0x6000_0000),
        load(at),
        equal(0, 8),
        load(at + 4),
        equal(1, 6),
        load(at + 8),
        equal(2, 4),
        load(at + 12),
        SockFilter::new(AND, 0, 0, !LAST_BYTE),
        equal(3, 1),
        take(),
    ]
}

fn words(ip: Ipv6Addr) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h] = ip.segments().map(u32::from);
    [a << 16 | b, c << 16 | d, e << 16 | f, g << 16 | h]
}
