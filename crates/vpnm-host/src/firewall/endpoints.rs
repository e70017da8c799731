//! The sets that hold the endpoints: a server switch changes their elements only.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::matching::{Key, Match, TCP, UDP};
use crate::desired::{Endpoint, Transport};
use crate::nft::{Field, Set};
use crate::rtnl::{Family, octets};

/// Looked up by uid, destination, protocol and port: what may leave.
pub(super) fn servers(family: Family) -> Match<'static> {
    match family {
        Family::V4 => Match::InSet(
            &[
                Key::SocketUid,
                Key::Destination(Family::V4),
                Key::Protocol,
                Key::DestinationPort,
            ],
            "servers4",
        ),
        Family::V6 => Match::InSet(
            &[
                Key::SocketUid,
                Key::Destination(Family::V6),
                Key::Protocol,
                Key::DestinationPort,
            ],
            "servers6",
        ),
    }
}

/// Looked up by source, protocol and port: what may answer.
pub(super) fn peers(family: Family) -> Match<'static> {
    match family {
        Family::V4 => Match::InSet(
            &[Key::Source(Family::V4), Key::Protocol, Key::SourcePort],
            "peers4",
        ),
        Family::V6 => Match::InSet(
            &[Key::Source(Family::V6), Key::Protocol, Key::SourcePort],
            "peers6",
        ),
    }
}

/// The sets `servers4` and `servers6`.
pub(super) fn server_sets(endpoints: &[Endpoint]) -> [Set; 2] {
    let set = |name: &str, family, address| Set {
        name: name.to_owned(),
        fields: vec![Field::Uid, address, Field::Protocol, Field::Port],
        elements: elements(endpoints, family, |endpoint, ip| {
            let mut key = endpoint.uid.to_ne_bytes().to_vec();
            key.extend(peer(endpoint, ip));
            key
        }),
    };
    [
        set("servers4", Family::V4, Field::Ip4),
        set("servers6", Family::V6, Field::Ip6),
    ]
}

/// The sets `peers4` and `peers6`.
pub(super) fn peer_sets(endpoints: &[Endpoint]) -> [Set; 2] {
    let set = |name: &str, family, address| Set {
        name: name.to_owned(),
        fields: vec![address, Field::Protocol, Field::Port],
        elements: elements(endpoints, family, peer),
    };
    [
        set("peers4", Family::V4, Field::Ip4),
        set("peers6", Family::V6, Field::Ip6),
    ]
}

/// A set of protocols and ports.
pub(super) fn port_set(name: &str, ports: &[(u8, u16)]) -> Set {
    let key = |(protocol, port): &(u8, u16)| {
        let mut key = vec![*protocol, 0, 0, 0];
        key.extend(padded(*port));
        key
    };
    Set {
        name: name.to_owned(),
        fields: vec![Field::Protocol, Field::Port],
        elements: ports.iter().map(key).collect(),
    }
}

fn elements(
    endpoints: &[Endpoint],
    family: Family,
    key: impl Fn(&Endpoint, IpAddr) -> Vec<u8>,
) -> BTreeSet<Vec<u8>> {
    let endpoints = endpoints.iter().map(|e| (e, e.ip.to_canonical()));
    let endpoints = endpoints.filter(|(_, ip)| Family::of(*ip) == family);
    endpoints.map(|(endpoint, ip)| key(endpoint, ip)).collect()
}

fn peer(endpoint: &Endpoint, ip: IpAddr) -> Vec<u8> {
    let protocol = match endpoint.transport {
        Transport::Tcp => TCP,
        Transport::Udp => UDP,
    };
    let mut key = octets(ip);
    key.extend([protocol, 0, 0, 0]);
    key.extend(padded(endpoint.port));
    key
}

/// A port as it lies in a register.
fn padded(port: u16) -> [u8; 4] {
    let [high, low] = port.to_be_bytes();
    [high, low, 0, 0]
}
