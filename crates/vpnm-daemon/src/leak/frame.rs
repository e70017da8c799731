//! What an attempt looks like on the wire. Pure.
//!
//! Attempt number N goes to 192.0.2.N or 2001:db8:7670::N ([`leak_check`]), to a port
//! that is different each time or to that of DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpnm_api::leak_check;

/// The port of DNS.
pub(super) const DNS: u16 = 53;
/// What datagrams carry.
pub(super) const PAYLOAD: &[u8; 16] = b"vpnm-leak-check\n";

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP6: u8 = 58;
/// The kind of a neighbour solicitation (RFC 4861), and where its target is.
const SOLICITATION: u8 = 135;
const SOLICITATION_TARGET: usize = HEADER_6 + 8;
/// The length of an IPv4 header without options, an IPv6 header, a UDP header.
const HEADER_4: usize = 20;
const HEADER_6: usize = 40;
const HEADER_UDP: usize = 8;
/// An ARP request for an IPv4 address over Ethernet begins so (RFC 826).
const ARP: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
const ARP_TARGET: usize = 24;

/// Whether an address means nothing beyond its link.
pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The number of the attempt that this packet, seen from its network header on, is;
/// a question for a neighbour counts as the attempt it is asked for.
pub(super) fn number(packet: &[u8], port: u16) -> Option<u8> {
    if packet.starts_with(&ARP) {
        return number_4(packet, ARP_TARGET);
    }
    match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 0x0f) * 4;
            let number = number_4(packet, 16)?;
            is_ours(*packet.get(9)?, packet.get(header..)?, port).then_some(number)
        }
        6 => {
            let (protocol, transport) = (*packet.get(6)?, packet.get(HEADER_6..)?);
            if (protocol, transport.first()) == (ICMP6, Some(&SOLICITATION)) {
                return number_6(packet, SOLICITATION_TARGET);
            }
            let number = number_6(packet, 24)?;
            is_ours(protocol, transport, port).then_some(number)
        }
        _ => None,
    }
}

fn number_4(packet: &[u8], at: usize) -> Option<u8> {
    let to: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
    leak_check::number(Ipv4Addr::from(to).into())
}

fn number_6(packet: &[u8], at: usize) -> Option<u8> {
    let to: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
    leak_check::number(Ipv6Addr::from(to).into())
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
    fn over_ipv6_it_and_the_question_for_its_neighbour_count() {
        let to = Ipv6Addr::new(0x2001, 0xdb8, 0x7670, 0, 0, 0, 0, 9).octets();
        let packet = |protocol: u8, to: [u8; 16], payload: &[u8]| {
            let head = [0x60, 0, 0, 0, 0, 24, protocol, 1];
            [&head[..], &[0; 16], &to, payload].concat()
        };
        let datagram = packet(UDP, to, &[0, 1, 0x12, 0x67]);
        assert_eq!(number(&datagram, 4711), Some(9));
        assert_eq!(number(&datagram, 4712), None, "of another check");
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 9).octets();
        let asked = [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &to].concat();
        assert_eq!(number(&packet(ICMP6, group, &asked), 1), Some(9));
        let answered = [&[136, 0, 0, 0, 0, 0, 0, 0][..], &to].concat();
        assert_eq!(number(&packet(ICMP6, group, &answered), 1), None);
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
