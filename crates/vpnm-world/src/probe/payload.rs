//! What probes carry: valid messages with the probe's mark in them. Pure.

use super::kind::Kind;
use crate::addresses::{CLIENT, CLIENT_MAC, GATEWAY_MAC, SITE};
use crate::mark;

/// Bytes of a large datagram: three fragments on Ethernet.
const LARGE: usize = 4000;

/// The payload of a probe over UDP, TCP or ICMP.
pub(super) fn of(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::DnsUdp
        | Kind::Dns6Udp
        | Kind::DnsLanUdp
        | Kind::Dns6LanUdp
        | Kind::DnsLinkLocal
        | Kind::DnsStub
        | Kind::BoundDns
        | Kind::UnicastIfDns
        | Kind::Mdns
        | Kind::Mdns6
        | Kind::Llmnr
        | Kind::Netbios => query(kind),
        Kind::DnsTcp | Kind::DnsLanTcp => framed(&query(kind)),
        Kind::Icmp => echo(8, kind),
        Kind::Icmp6 => echo(128, kind),
        Kind::Packet | Kind::PacketBypass => frame(kind),
        Kind::LargeUdp => {
            let mut bytes = mark::of(kind.name());
            bytes.resize(LARGE, 0);
            bytes
        }
        Kind::Udp
        | Kind::Udp6
        | Kind::Tcp
        | Kind::Tcp6
        | Kind::Dot
        | Kind::DotLan
        | Kind::ServerOtherPort
        | Kind::ServerUdp
        | Kind::ServerSamePort
        | Kind::BoundUdp
        | Kind::BoundTcp
        | Kind::BoundUdp6
        | Kind::UnicastIf
        | Kind::UnicastIf6
        | Kind::SourceUdp
        | Kind::SourceTcp
        | Kind::LanUdp
        | Kind::LanTcp
        | Kind::Lan6
        | Kind::DontRoute
        | Kind::Join
        | Kind::Join6 => mark::of(kind.name()),
    }
}

/// A recursive query for the address of `MARK.example` (RFC 1035).
fn query(kind: Kind) -> Vec<u8> {
    let mark = mark::of(kind.name());
    let mut bytes = vec![0x76, 0x70, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.push(u8::try_from(mark.len()).unwrap_or(63));
    bytes.extend_from_slice(&mark);
    bytes.extend_from_slice(b"\x07example\0\0\x01\0\x01");
    bytes
}

/// RFC 7766, section 8: messages over TCP have a length in front.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], message].concat()
}

/// An echo request; the kernel fills in identifier and checksum.
fn echo(kind: u8, probe: Kind) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 1][..], &mark::of(probe.name())].concat()
}

/// An Ethernet frame with a UDP datagram to the site's discard port.
fn frame(kind: Kind) -> Vec<u8> {
    let mark = mark::of(kind.name());
    let udp = u16::try_from(8 + mark.len()).unwrap_or(u16::MAX);
    let total = udp.saturating_add(20);
    let mut header = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0].to_vec();
    header.splice(2..4, total.to_be_bytes());
    header.extend_from_slice(&CLIENT.v4.octets());
    header.extend_from_slice(&SITE.v4.octets());
    let checksum = ones_complement(&header);
    header.splice(10..12, checksum.to_be_bytes());
    let ports = [40_000_u16.to_be_bytes(), 9_u16.to_be_bytes()].concat();
    [
        &GATEWAY_MAC[..],
        &CLIENT_MAC,
        &[8, 0],
        &header,
        &ports,
        &udp.to_be_bytes(),
        &[0, 0],
        &mark,
    ]
    .concat()
}

/// RFC 1071.
fn ones_complement(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            [high] => u32::from(*high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_carries_its_mark() {
        for kind in Kind::ALL {
            assert_eq!(mark::find(&of(kind)), Some(kind.name()));
            assert!(mark::of(kind.name()).len() <= 63, "fits a label");
        }
    }

    #[test]
    fn the_frame_has_a_valid_header() {
        let bytes = of(Kind::Packet);
        assert_eq!(ones_complement(&bytes[14..34]), 0);
    }
}
