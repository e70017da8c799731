//! Messages of sock_diag for TCP (include/uapi/linux/{sock_diag,inet_diag}.h).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::netlink::{Failure, Message, Request, Socket, Writer};
use crate::rtnl::{Family, octets};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const TCP: u8 = 6;
/// Bytes of an address in `struct inet_diag_sockid`, whatever the family.
const ADDRESS: usize = 16;

/// States by their number in `enum tcp_state`: those of a connection whose
/// handshake is over and that neither side has forgotten, and the one that waits.
const CONNECTED: [u8; 6] = [1, 4, 5, 8, 9, 11];
const LISTENING: u8 = 10;

/// A TCP socket of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) family: Family,
    pub(super) state: State,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) uid: u32,
    /// The link it is tied to, or 0.
    pub(super) link: u32,
    /// Tells it from every other socket, also of the same addresses.
    pub(super) cookie: [u8; 8],
}

/// No socket.
pub(super) const NOBODY: Found = Found {
    family: Family::V4,
    state: State::Connected,
    local: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
    remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1),
    uid: 0,
    link: 0,
    cookie: [0xff; 8],
};

/// What a socket is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It has been connected and is not closed yet.
    Connected,
    /// It waits for connections.
    Listening,
    /// Anything else.
    Other,
}

/// All TCP sockets of the network namespace.
pub(super) fn list(socket: &mut Socket) -> Result<Vec<Found>, Failure> {
    let mut all = Vec::new();
    for family in Family::BOTH {
        let states = CONNECTED
            .iter()
            .fold(1 << LISTENING, |bits, n| bits | 1_u32 << n);
        let body = Writer::new(&request(family, states, &[0; 48]));
        let request = Request::dump(SOCK_DIAG_BY_FAMILY, body);
        match socket.query(&request, decode) {
            // A kernel without IPv6 has no such sockets.
            Err(failure) if failure.errno() == Some(libc::ENOENT) => {}
            found => all.extend(found?),
        }
    }
    Ok(all)
}

/// Ends a socket.
pub(super) fn destroy(found: &Found) -> Request {
    let mut id = Vec::with_capacity(48);
    id.extend(found.local.port().to_be_bytes());
    id.extend(found.remote.port().to_be_bytes());
    for address in [found.local, found.remote] {
        let mut octets = octets(address.ip());
        octets.resize(ADDRESS, 0);
        id.extend(octets);
    }
    id.extend(found.link.to_ne_bytes());
    id.extend(found.cookie);
    let states = u32::MAX;
    Request::new(
        SOCK_DESTROY,
        Writer::new(&request(found.family, states, &id)),
    )
}

/// `struct inet_diag_req_v2`.
fn request(family: Family, states: u32, id: &[u8]) -> Vec<u8> {
    let mut body = vec![family.number(), TCP, 0, 0];
    body.extend(states.to_ne_bytes());
    body.extend(id);
    body
}

/// Reads `struct inet_diag_msg`.
fn decode(message: &Message<'_>) -> Result<Option<Found>, Failure> {
    if message.kind != SOCK_DIAG_BY_FAMILY {
        return Ok(None);
    }
    let (header, _) = message.body.split::<72>()?;
    let [
        family,
        state,
        _,
        _,
        sport0,
        sport1,
        dport0,
        dport1,
        rest @ ..,
    ] = header;
    let Some(family) = Family::from_number(family) else {
        return Ok(None);
    };
    let field = |at: usize, length: usize| rest.get(at..at + length).ok_or(Failure::Malformed);
    let number = |at| {
        let bytes = field(at, 4)?.try_into().map_err(|_| Failure::Malformed)?;
        Ok::<_, Failure>(u32::from_ne_bytes(bytes))
    };
    let socket = |address: &[u8], port| {
        let length = if family == Family::V4 { 4 } else { ADDRESS };
        let ip = address.get(..length).and_then(crate::rtnl::address_from);
        let ip = ip.ok_or(Failure::Malformed)?;
        Ok::<_, Failure>(SocketAddr::new(ip, u16::from_be_bytes(port)))
    };
    Ok(Some(Found {
        family,
        state: match state {
            LISTENING => State::Listening,
            state if CONNECTED.contains(&state) => State::Connected,
            _ => State::Other,
        },
        local: socket(field(0, ADDRESS)?, [sport0, sport1])?,
        remote: socket(field(16, ADDRESS)?, [dport0, dport1])?,
        link: number(32)?,
        cookie: field(36, 8)?.try_into().map_err(|_| Failure::Malformed)?,
        uid: number(56)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    /// A socket as the kernel lists it, made from the request that would end it.
    #[test]
    fn a_socket_is_ended_by_what_it_was_listed_with() {
        for (local, remote) in [
            ("192.0.2.2:4001", "203.0.113.5:443"),
            ("[2001:db8::2]:4001", "[2001:db8::5]:443"),
        ] {
            let local: SocketAddr = local.parse().unwrap();
            let found = Found {
                family: Family::of(local.ip()),
                local,
                remote: remote.parse().unwrap(),
                uid: 1000,
                link: 7,
                ..NOBODY
            };
            let mut bytes = Vec::new();
            destroy(&found).encode(1, &mut bytes);
            let id = bytes[24..72].to_vec();
            let mut body = vec![found.family.number(), 1, 0, 0];
            body.extend(id);
            body.extend([0; 12]);
            body.extend(1000_u32.to_ne_bytes());
            body.extend([0; 4]);
            let mut listed = Vec::new();
            Request::new(SOCK_DIAG_BY_FAMILY, Writer::new(&body)).encode(1, &mut listed);
            let listed = messages(&listed).unwrap();
            assert_eq!(decode(&listed[0]).unwrap(), Some(found));
        }
    }
}
