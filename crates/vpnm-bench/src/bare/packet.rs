//! Packets of the device, with the virtio header in front of each.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use vpnm_wire::{
    Checksum, ChecksumState, Head, IPV4_HEADER, IpBuilder, IpHeader, Segmentation, Seq,
    TCP_CHECKSUM, TCP_HEADER, TcpFlags, TcpHeader, TcpOptions, UDP_CHECKSUM, UDP_HEADER, UdpHeader,
    VNET_LENGTH, VnetHeader, protocol,
};

/// Bytes in front of the payload of a segment without options, and of datagrams.
pub(super) const SEGMENT_FRONT: usize = VNET_LENGTH + IPV4_HEADER + TCP_HEADER;
pub(super) const DATAGRAMS_FRONT: usize = VNET_LENGTH + IPV4_HEADER + UDP_HEADER;
/// Most payload of a segment of the device's MTU.
pub(super) const MAX_SEGMENT: u16 = 1_460;
/// The window that is told and not kept: no load that this serves has so much under way.
const WINDOW: u16 = u16::MAX;

/// Between whom a packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    /// The program whose packets come out of the device.
    pub(super) client: SocketAddrV4,
    /// Whom it wants to reach.
    pub(super) service: SocketAddrV4,
}

/// What a packet of a client brings.
#[derive(Debug)]
pub(super) enum Packet<'a> {
    Segment(Segment<'a>),
    Datagrams(Datagrams<'a>),
}

/// A segment of TCP.
#[derive(Debug)]
pub(super) struct Segment<'a> {
    pub(super) ends: Ends,
    pub(super) header: TcpHeader,
    pub(super) payload: &'a [u8],
}

/// One datagram, or several that the client's kernel left joined.
#[derive(Debug)]
pub(super) struct Datagrams<'a> {
    pub(super) ends: Ends,
    /// Bytes of each but the last.
    pub(super) size: usize,
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads what came out of the device; `None` if it is neither TCP nor UDP over IPv4.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let offload = VnetHeader::decode(bytes)?;
        let bytes = bytes.get(VNET_LENGTH..)?;
        let ip = IpHeader::parse_quoted(bytes).ok()?;
        let content = ip.payload(bytes);
        let ends = |client: u16, service: u16| {
            Some(Ends {
                client: end(ip.source, client)?,
                service: end(ip.destination, service)?,
            })
        };
        match ip.protocol {
            protocol::TCP => {
                let header = TcpHeader::parse(content)?;
                Some(Self::Segment(Segment {
                    ends: ends(header.source, header.destination)?,
                    header,
                    payload: content.get(header.header_len..)?,
                }))
            }
            protocol::UDP => {
                let header = UdpHeader::parse(content)?;
                let payload = content.get(UDP_HEADER..)?;
                Some(Self::Datagrams(Datagrams {
                    ends: ends(header.source, header.destination)?,
                    size: match offload.segmentation {
                        Segmentation::Udp => usize::from(offload.segment_size),
                        Segmentation::None | Segmentation::Tcp4 | Segmentation::Tcp6 => {
                            payload.len()
                        }
                    },
                    payload,
                }))
            }
            _ => None,
        }
    }
}

fn end(ip: IpAddr, port: u16) -> Option<SocketAddrV4> {
    match SocketAddr::new(ip, port) {
        SocketAddr::V4(end) => Some(end),
        SocketAddr::V6(_) => None,
    }
}

impl Ends {
    /// What is in front of `length` bytes of payload in a segment to the client; a first
    /// segment, which has none, says what the client may send in one.
    pub(super) fn segment(&self, flags: TcpFlags, seq: Seq, ack: Seq, length: usize) -> Head {
        let options = TcpOptions {
            max_segment: flags.has(TcpFlags::SYN).then_some(MAX_SEGMENT),
            ..TcpOptions::default()
        };
        let header = TcpHeader {
            source: self.service.port(),
            destination: self.client.port(),
            seq,
            ack,
            flags,
            window: WINDOW,
            header_len: 0,
        };
        let length = TCP_HEADER + options.encoded_len() + length;
        let (mut head, sum) = self.front(protocol::TCP, length, TCP_CHECKSUM, 0);
        header.encode(&options, sum, &mut head);
        head
    }

    /// What is in front of `length` bytes of payload to the client: datagrams of `size` bytes.
    pub(super) fn datagrams(&self, size: usize, length: usize) -> Head {
        let cut = if length > size { size } else { 0 };
        let length = UDP_HEADER + length;
        let (mut head, checksum) = self.front(protocol::UDP, length, UDP_CHECKSUM, cut);
        let header = UdpHeader {
            source: self.service.port(),
            destination: self.client.port(),
            length: short(length),
            checksum,
        };
        header.encode(&mut head);
        head
    }

    /// Everything in front of the transport header, and what is to be in its checksum field
    /// for the kernel to complete. The packet is cut every `cut` bytes of payload if not 0.
    fn front(&self, protocol: u8, length: usize, checksum: usize, cut: usize) -> (Head, [u8; 2]) {
        let offload = VnetHeader {
            checksum: ChecksumState::Partial,
            segmentation: match cut {
                0 => Segmentation::None,
                _ => Segmentation::Udp,
            },
            segment_size: short(cut),
            checksum_start: short(IPV4_HEADER),
            checksum_offset: short(checksum),
            ..VnetHeader::default()
        };
        let (source, destination) = ((*self.service.ip()).into(), (*self.client.ip()).into());
        let ip = IpBuilder {
            source,
            destination,
            protocol,
            payload_len: length,
            fragment: None,
        };
        let mut head = Head::new();
        head.push(&offload.encode());
        ip.encode(&mut head);
        let sum = Checksum::pseudo_header(source, destination, protocol, length);
        (head, sum.partial())
    }
}

/// A length as a header's field; none here is longer than a packet.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDS: Ends = Ends {
        client: SocketAddrV4::new(std::net::Ipv4Addr::new(198, 18, 0, 1), 40_000),
        service: SocketAddrV4::new(std::net::Ipv4Addr::new(10, 99, 0, 1), 7),
    };
    /// The ends as who reads the packets for the client sees them.
    const TURNED: Ends = Ends {
        client: ENDS.service,
        service: ENDS.client,
    };

    /// Whether the kernel, which sums from the transport header on, gets a checksum that holds.
    fn is_completed(bytes: &[u8]) -> bool {
        let offload = VnetHeader::decode(bytes).unwrap();
        assert_eq!(offload.checksum, ChecksumState::Partial);
        let start = VNET_LENGTH + usize::from(offload.checksum_start);
        let field = start + usize::from(offload.checksum_offset);
        let mut transport = bytes[start..].to_vec();
        let mut sum = Checksum::new();
        sum.add(&transport);
        let field = field - start;
        transport[field..field + 2].copy_from_slice(&sum.finish());
        let ip = IpHeader::parse(&bytes[VNET_LENGTH..]).unwrap();
        let (source, destination) = (ip.source, ip.destination);
        let mut sum = Checksum::pseudo_header(source, destination, ip.protocol, transport.len());
        sum.add(&transport);
        sum.is_valid()
    }

    #[test]
    fn a_segment_is_read_back() {
        let flags = TcpFlags::ACK | TcpFlags::PSH;
        let head = ENDS.segment(flags, Seq(1), Seq(u32::MAX), 3);
        assert_eq!(head.len(), SEGMENT_FRONT);
        let bytes = [head.bytes(), b"abc"].concat();
        assert!(is_completed(&bytes));
        let Some(Packet::Segment(segment)) = Packet::decode(&bytes) else {
            panic!("no segment");
        };
        assert_eq!((segment.ends, segment.payload), (TURNED, &b"abc"[..]));
        let header = segment.header;
        assert_eq!((header.flags, header.seq), (flags, Seq(1)));
        assert_eq!((header.ack, header.window), (Seq(u32::MAX), WINDOW));
    }

    #[test]
    fn a_first_segment_says_what_may_come_in_one() {
        let head = ENDS.segment(TcpFlags::SYN | TcpFlags::ACK, Seq(0), Seq(1), 0);
        assert!(is_completed(head.bytes()));
        let segment = &head.bytes()[VNET_LENGTH + IPV4_HEADER..];
        let options = TcpOptions::parse(segment, segment.len());
        assert_eq!(options.max_segment, Some(MAX_SEGMENT));
    }

    #[test]
    fn datagrams_are_cut_where_there_are_several() {
        for (size, payload, segmentation) in [
            (3, &b"abc"[..], Segmentation::None),
            (2, b"aabb", Segmentation::Udp),
        ] {
            let head = ENDS.datagrams(size, payload.len());
            assert_eq!(head.len(), DATAGRAMS_FRONT);
            let bytes = [head.bytes(), payload].concat();
            assert!(is_completed(&bytes));
            assert_eq!(
                VnetHeader::decode(&bytes).unwrap().segmentation,
                segmentation
            );
            let Some(Packet::Datagrams(datagrams)) = Packet::decode(&bytes) else {
                panic!("no datagrams");
            };
            assert_eq!((datagrams.ends, datagrams.size), (TURNED, size));
            assert_eq!(datagrams.payload, payload);
        }
    }

    #[test]
    fn what_is_neither_is_nothing() {
        let mut bytes = ENDS.datagrams(0, 0).bytes().to_vec();
        bytes[VNET_LENGTH + 9] = protocol::ICMP;
        assert!(Packet::decode(&bytes).is_none());
        assert!(Packet::decode(&bytes[..VNET_LENGTH + 8]).is_none());
    }
}
