//! What an Ethernet frame says, as far as telling a leak needs it. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A frame, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// ARP (RFC 826): who asks or tells, about whom.
    Arp {
        request: bool,
        sender: Ipv4Addr,
        target: Ipv4Addr,
    },
    /// A packet of either family.
    Ip(Packet<'a>),
    /// Another EtherType.
    Other(u16),
    /// Too short for what it claims to be.
    Malformed,
}

/// An IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) segment: Segment<'a>,
}

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Tcp {
        source: u16,
        destination: u16,
    },
    Udp {
        source: u16,
        destination: u16,
    },
    Icmp,
    Icmp6 {
        kind: u8,
        body: &'a [u8],
    },
    /// A fragment other than the first.
    Fragment,
    /// Another protocol number.
    Other(u8),
}

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;

/// Takes a frame apart.
pub(super) fn parse(bytes: &[u8]) -> Frame<'_> {
    let Some((kind, body)) = ethertype(bytes) else {
        return Frame::Malformed;
    };
    let parsed = match kind {
        ARP => parse_arp(body),
        IPV4 => parse_ipv4(body),
        IPV6 => parse_ipv6(body),
        other => Some(Frame::Other(other)),
    };
    parsed.unwrap_or(Frame::Malformed)
}

fn ethertype(bytes: &[u8]) -> Option<(u16, &[u8])> {
    Some((word(bytes, 12)?, bytes.get(14..)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|pair| u16::from_be_bytes(*pair))
}

fn ipv4(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    bytes
        .get(at..)?
        .first_chunk::<4>()
        .map(|octets| Ipv4Addr::from(*octets))
}

/// The IPv6 address at an offset.
pub(super) fn ipv6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    bytes
        .get(at..)?
        .first_chunk::<16>()
        .map(|octets| Ipv6Addr::from(*octets))
}

fn parse_arp(body: &[u8]) -> Option<Frame<'_>> {
    Some(Frame::Arp {
        request: word(body, 6)? == 1,
        sender: ipv4(body, 14)?,
        target: ipv4(body, 24)?,
    })
}

fn parse_ipv4(body: &[u8]) -> Option<Frame<'_>> {
    let header = usize::from(body.first()? & 0x0f) * 4;
    let later_fragment = word(body, 6)? & 0x1fff != 0;
    let payload = body.get(header.max(20)..)?;
    let segment = if later_fragment {
        Segment::Fragment
    } else {
        parse_segment(*body.get(9)?, payload)?
    };
    Some(Frame::Ip(Packet {
        source: ipv4(body, 12)?.into(),
        destination: ipv4(body, 16)?.into(),
        segment,
    }))
}

fn parse_ipv6(body: &[u8]) -> Option<Frame<'_>> {
    let segment = skip_extensions(*body.get(6)?, body.get(40..)?)?;
    Some(Frame::Ip(Packet {
        source: ipv6(body, 8)?.into(),
        destination: ipv6(body, 24)?.into(),
        segment,
    }))
}

/// RFC 8200, section 4: hop-by-hop, routing and destination options are
/// skipped; a fragment that is not the first ends the search.
fn skip_extensions(mut next: u8, mut body: &[u8]) -> Option<Segment<'_>> {
    loop {
        let length = match next {
            0 | 43 | 60 => (usize::from(*body.get(1)?) + 1) * 8,
            44 if word(body, 2)? & 0xfff8 != 0 => return Some(Segment::Fragment),
            44 => 8,
            _ => return parse_segment(next, body),
        };
        next = *body.first()?;
        body = body.get(length..)?;
    }
}

fn parse_segment(protocol: u8, body: &[u8]) -> Option<Segment<'_>> {
    Some(match protocol {
        1 => Segment::Icmp,
        6 => Segment::Tcp {
            source: word(body, 0)?,
            destination: word(body, 2)?,
        },
        17 => Segment::Udp {
            source: word(body, 0)?,
            destination: word(body, 2)?,
        },
        58 => Segment::Icmp6 {
            kind: *body.first()?,
            body,
        },
        other => Segment::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ethernet(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&kind.to_be_bytes());
        frame.extend_from_slice(body);
        frame
    }

    #[test]
    fn udp_over_ipv4_with_options() {
        let mut body = vec![0x46, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0];
        body.extend_from_slice(&[192, 0, 2, 1, 192, 0, 2, 2]);
        body.extend_from_slice(&[1, 1, 1, 1]);
        body.extend_from_slice(&[0x12, 0x34, 0, 53, 0, 8, 0, 0]);
        let bytes = ethernet(IPV4, &body);
        let Frame::Ip(packet) = parse(&bytes) else {
            panic!("an IP packet")
        };
        assert_eq!(packet.destination, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)));
        assert_eq!(
            packet.segment,
            Segment::Udp {
                source: 0x1234,
                destination: 53
            }
        );
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut body = vec![0x45, 0, 0, 28, 0, 0, 0x00, 0xb9, 64, 17, 0, 0];
        body.extend_from_slice(&[0; 16]);
        let bytes = ethernet(IPV4, &body);
        let Frame::Ip(packet) = parse(&bytes) else {
            panic!("an IP packet")
        };
        assert_eq!(packet.segment, Segment::Fragment);
    }

    #[test]
    fn extension_headers_are_skipped() {
        let mut body = vec![0x60, 0, 0, 0, 0, 16, 0, 1];
        body.extend_from_slice(&[0; 32]);
        body.extend_from_slice(&[58, 0, 5, 2, 0, 0, 0, 0]);
        body.extend_from_slice(&[143, 0, 0, 0, 0, 0, 0, 0]);
        let bytes = ethernet(IPV6, &body);
        let Frame::Ip(packet) = parse(&bytes) else {
            panic!("an IP packet")
        };
        assert!(matches!(packet.segment, Segment::Icmp6 { kind: 143, .. }));
    }

    #[test]
    fn every_truncation_is_malformed_and_none_panics() {
        let mut body = vec![0x60, 0, 0, 0, 0, 8, 44, 1];
        body.extend_from_slice(&[0; 32]);
        body.extend_from_slice(&[6, 0, 0, 1, 0, 0, 0, 0, 0, 80, 1, 187]);
        let whole = ethernet(IPV6, &body);
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), Frame::Malformed, "{length} bytes");
        }
        assert!(matches!(parse(&whole), Frame::Ip(_)));
    }
}
