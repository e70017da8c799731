//! What an attempt looks like on the wire. Pure.
//!
//! Attempt number N goes to 192.0.2.N or 2001:db8:7670::N (RFC 5737, RFC 3849), to a
//! port that is different each time or to that of DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The port of DNS.
pub(super) const DNS: u16 = 53;
/// What datagrams carry.
pub(super) const PAYLOAD: &[u8; 16] = b"vpnm-leak-check\n";

const TCP: u8 = 6;
const UDP: u8 = 17;
/// The length of an IPv4 header without options, an IPv6 header, a UDP header.
const HEADER_4: usize = 20;
const HEADER_6: usize = 40;
const HEADER_UDP: usize = 8;
/// An ARP request for an IPv4 address over Ethernet begins so (RFC 826).
const ARP: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ARP_TARGET: usize = 24;

/// Where an attempt goes.
pub(super) fn destination(number: u8, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0x7670, 0, 0, 0, 0, number.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, number).into()
    }
}

/// Whether an address means nothing beyond its link.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The number of the attempt that this packet, seen from its network header on, is;
/// an ARP request counts as the attempt it is made for.
pub(super) fn number(packet: &[u8], port: u16) -> Option<u8> {
    if packet.starts_with(&ARP) {
        return number_of_4(packet.get(ARP_TARGET..ARP_TARGET + 4)?);
    }
    match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let number = number_of_4(packet.get(16..20)?)?;
            is_ours(*packet.get(9)?, packet.get(header..)?, port).then_some(number)
        }
        6 => {
            let to: [u8; 16] = packet.get(24..HEADER_6)?.try_into().ok()?;
            let number = *to.last()?;
            let meant = IpAddr::from(to) == destination(number, true);
            let ours = is_ours(*packet.get(6)?, packet.get(HEADER_6..)?, port);
            (meant && ours).then_some(number)
        }
        _ => None,
    }
}

fn number_of_4(to: &[u8]) -> Option<u8> {
    let to: [u8; 4] = to.try_into().ok()?;
    let number = *to.last()?;
    (IpAddr::from(to) == destination(number, false)).then_some(number)
}

fn is_ours(protocol: u8, transport: &[u8], port: u16) -> bool {
    let to = transport.get(2..4).and_then(|port| port.try_into().ok());
    let to = to.map(u16::from_be_bytes);
    matches!(protocol, TCP | UDP) && (to == Some(port) || to == Some(DNS))
}

/// An IPv4 packet with a datagram, for a socket that sends past the IP stack.
pub(super) fn datagram(number: u8, port: u16) -> Vec<u8> {
    let length = HEADER_4 + HEADER_UDP + PAYLOAD.len();
    let length = u16::try_from(length).unwrap_or_default().to_be_bytes();
    let udp_length = u16::try_from(HEADER_UDP + PAYLOAD.len()).unwrap_or_default();
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&length);
    // No identification, no fragments, one hop, no checksum yet.
    packet.extend_from_slice(&[0, 0, 0, 0, 1, UDP, 0, 0]);
    packet.extend_from_slice(&[192, 0, 2, 254, 192, 0, 2, number]);
    let sum = checksum(&packet);
    packet.splice(10..12, sum.to_be_bytes());
    packet.extend_from_slice(&port.to_be_bytes());
    packet.extend_from_slice(&port.to_be_bytes());
    packet.extend_from_slice(&udp_length.to_be_bytes());
    // A datagram over IPv4 may do without a checksum (RFC 768).
    packet.extend_from_slice(&[0, 0]);
    packet.extend_from_slice(PAYLOAD);
    packet
}

/// The internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(!sum & 0xffff).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_is_known_again_and_nothing_else_is() {
        let packet = datagram(7, 4711);
        assert_eq!(number(&packet, 4711), Some(7));
        assert_eq!(number(&packet, 4712), None, "of another check");
        assert_eq!(checksum(packet.get(..HEADER_4).unwrap()), 0);
        for cut in 0..24 {
            assert_eq!(number(&packet[..cut], 4711), None, "cut at {cut}");
        }
        let mut other = packet;
        other[17] = 9;
        assert_eq!(number(&other, 4711), None, "to somebody else");
    }

    #[test]
    fn a_question_for_the_neighbour_counts() {
        let mut arp = ARP.to_vec();
        arp.extend_from_slice(&[0; 16]);
        arp.extend_from_slice(&[192, 0, 2, 9]);
        assert_eq!(number(&arp, 1), Some(9));
        arp[25] = 1;
        assert_eq!(number(&arp, 1), None);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        for first in 0..=255_u8 {
            for length in 0..80 {
                let mut packet = vec![0xff; length];
                if let Some(byte) = packet.first_mut() {
                    *byte = first;
                }
                assert_eq!(number(&packet, 9), None);
            }
        }
    }
}
