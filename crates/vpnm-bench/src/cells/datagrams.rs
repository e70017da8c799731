//! Conversations over UDP and ICMP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::seen::pattern;
use crate::target::ECHO;

/// Sizes that one packet of an ordinary link carries.
const ORDINARY: [usize; 3] = [16, 1_200, 1_472];
/// Sizes that travel in fragments, or in longer packets.
const LONG: [usize; 4] = [1_473, 4_000, 9_000, 65_000];
/// How long an answer is waited for, and how often it is asked for.
const LIMIT: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 3;

pub(super) fn ordinary(host: IpAddr) -> anyhow::Result<String> {
    largest(host, &ORDINARY)
}

pub(super) fn long(host: IpAddr) -> anyhow::Result<String> {
    largest(host, &LONG)
}

/// The largest of some datagrams that came back whole, and what came back changed.
fn largest(host: IpAddr, sizes: &[usize]) -> anyhow::Result<String> {
    let any: IpAddr = match host {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let mut seen = "none".to_owned();
    for size in sizes {
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.connect((host, ECHO))?;
        match exchange(&socket, &pattern(*size)) {
            Some(true) => seen = format!("{size} bytes"),
            Some(false) => return Ok(format!("{size} bytes came back changed")),
            None => break,
        }
    }
    Ok(seen)
}

/// Whether a datagram came back as it went, if it came back.
fn exchange(socket: &UdpSocket, datagram: &[u8]) -> Option<bool> {
    let mut answer = vec![0; 65_536];
    (0..ATTEMPTS).find_map(|_| {
        socket.send(datagram).ok()?;
        let count = socket.recv(&mut answer).ok()?;
        Some(answer.get(..count) == Some(datagram))
    })
}

/// Pings an address that nobody has.
pub(super) fn ping_nobody(host: IpAddr) -> anyhow::Result<String> {
    ping(match host {
        IpAddr::V4(_) => crate::place::NOBODY,
        IpAddr::V6(_) => crate::place::NOBODY6,
    })
}

/// Sends an echo request (RFC 792, RFC 4443).
pub(super) fn ping(host: IpAddr) -> anyhow::Result<String> {
    let (domain, protocol, request, reply) = match host {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = UdpSocket::from(Socket::new(domain, Type::RAW, Some(protocol))?);
    socket.set_read_timeout(Some(LIMIT))?;
    socket.connect((host, 0))?;
    // With this sequence number the sum of an IPv4 request's words is 0xffff; the
    // checksum of an IPv6 one is the kernel's.
    let message = [request, 0, 0, 0, 0x12, 0x34, 0xe5, 0xcb];
    let header = if host.is_ipv4() { 20 } else { 0 };
    let mut buffer = [0; 256];
    for _ in 0..ATTEMPTS {
        // No route is no answer.
        drop(socket.send(&message));
        while let Ok(count) = socket.recv(&mut buffer) {
            let answer = buffer.get(header..count).unwrap_or_default();
            if answer.first() == Some(&reply) && answer.get(4..8) == message.get(4..8) {
                return Ok("answered".to_owned());
            }
        }
    }
    Ok("silence".to_owned())
}
