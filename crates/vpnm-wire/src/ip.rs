//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers.

mod options;
mod part;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::checksum::Checksum;
use crate::head::Head;
use crate::icmp::IcmpError;
use crate::protocol;

/// Most bytes an IPv6 packet can carry.
const MAX_PAYLOAD: usize = 65_535;
/// Where an IPv6 header says how many it does.
const PAYLOAD_LENGTH_AT: usize = 4;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// Bytes of an IPv4 header without options.
pub const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header without extensions.
pub const IPV6_HEADER: usize = 40;
/// Bytes of an IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;
/// Hop limit of packets built here: what Linux uses.
const HOP_LIMIT: u8 = 64;

/// What the IP headers of a packet say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpHeader {
    /// Who sent it.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// The transport protocol behind all extension headers.
    pub protocol: u8,
    /// Where its number stands.
    pub protocol_at: usize,
    /// Where the transport header begins.
    pub header_len: usize,
    /// Where the packet ends; what follows is padding.
    pub total_len: usize,
    /// Hops it may still take.
    pub hop_limit: u8,
    /// Which part of a fragmented packet it is.
    pub fragment: Option<Fragment>,
}

/// A part of a fragmented packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Common to all parts of a packet.
    pub id: u32,
    /// Where this part's bytes belong in what the packet carries.
    pub offset: usize,
    /// Whether another part follows.
    pub more: bool,
}

/// Why bytes are no IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IpError {
    /// There are fewer bytes than the headers need.
    #[error("the packet ends inside its headers")]
    Short,
    /// The version is neither 4 nor 6.
    #[error("the version is neither 4 nor 6")]
    Version,
    /// A length contradicts another.
    #[error("the lengths of the headers contradict each other")]
    Length,
    /// The header checksum is wrong.
    #[error("the header checksum is wrong")]
    Checksum,
    /// There are options that forbid to go on, or that ask to send the packet on.
    #[error("the extension headers cannot be followed")]
    Extension,
    /// It must be dropped, and its sender should be told what is wrong.
    #[error("the byte at {at} of the headers is wrong")]
    Parameter {
        /// What to say.
        problem: IcmpError,
        /// Which byte of the packet is wrong.
        at: usize,
    },
    /// An IPv6 address that stands for an IPv4 one, which no wire carries.
    #[error("an address is not one of the wire")]
    Address,
}

impl IpHeader {
    /// Reads the headers of a whole packet.
    ///
    /// # Errors
    /// [`IpError`] when it must be dropped.
    pub fn parse(packet: &[u8]) -> Result<Self, IpError> {
        match packet.first().ok_or(IpError::Short)? >> 4 {
            4 => parse_whole_v4(packet),
            6 => parse_whole_v6(packet),
            _ => Err(IpError::Version),
        }
    }

    /// Reads the headers of a packet of which an ICMP error quotes only the beginning, or
    /// that must be dropped for its options.
    ///
    /// # Errors
    /// [`IpError`] when it cannot be understood.
    pub fn parse_quoted(packet: &[u8]) -> Result<Self, IpError> {
        match packet.first().ok_or(IpError::Short)? >> 4 {
            4 => parse_v4(packet),
            6 => parse_v6(packet, false),
            _ => Err(IpError::Version),
        }
    }

    /// What the packet carries behind its IP headers; may be cut in a quoted packet.
    #[must_use]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let end = self.total_len.min(packet.len());
        packet.get(self.header_len..end).unwrap_or_default()
    }

    /// These headers and those that the first part of an IPv6 packet has behind its fragment
    /// header, which are followed only once the packet is whole; `None` if they end too early.
    #[must_use]
    pub fn innermost(&self, packet: &[u8]) -> Option<Self> {
        let packet = packet.get(..self.total_len).unwrap_or(packet);
        let mut inner = Self {
            fragment: None,
            ..*self
        };
        if self.source.is_ipv6() {
            while follow_extension(packet, false, &mut inner).ok()? {}
        }
        Some(inner)
    }
}

fn checksum_valid(packet: &[u8]) -> bool {
    let words = usize::from(packet.first().copied().unwrap_or(0) & 0xf);
    let mut sum = Checksum::new();
    sum.add(packet.get(..words * 4).unwrap_or_default());
    sum.is_valid()
}

fn parse_whole_v4(packet: &[u8]) -> Result<IpHeader, IpError> {
    let header = parse_v4(packet)?;
    if header.total_len > packet.len() {
        return Err(IpError::Short);
    }
    if !checksum_valid(packet) {
        return Err(IpError::Checksum);
    }
    if header.header_len > IPV4_HEADER {
        let options = packet.get(IPV4_HEADER..header.header_len);
        options::check_v4(options.unwrap_or_default())?;
    }
    Ok(header)
}

fn parse_whole_v6(packet: &[u8]) -> Result<IpHeader, IpError> {
    let header = parse_v6(packet, true)?;
    part::check(&header, packet)?;
    Ok(header)
}

fn parse_v4(packet: &[u8]) -> Result<IpHeader, IpError> {
    let fixed = packet.first_chunk::<IPV4_HEADER>().ok_or(IpError::Short)?;
    let [vihl, _, t0, t1, i0, i1, f0, f1, ttl, protocol, _, _, s @ ..] = *fixed;
    let [s0, s1, s2, s3, d0, d1, d2, d3] = s;
    let header_len = usize::from(vihl & 0xf) * 4;
    let total_len = usize::from(u16::from_be_bytes([t0, t1]));
    if header_len < IPV4_HEADER || total_len < header_len {
        return Err(IpError::Length);
    }
    if header_len > packet.len() {
        return Err(IpError::Short);
    }
    let field = u16::from_be_bytes([f0, f1]);
    let (more, offset) = (field & 0x2000 != 0, usize::from(field & 0x1fff) * 8);
    let fragment = (more || offset > 0).then(|| Fragment {
        id: u32::from(u16::from_be_bytes([i0, i1])),
        offset,
        more,
    });
    Ok(IpHeader {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
        protocol,
        protocol_at: 9,
        header_len,
        total_len,
        hop_limit: ttl,
        fragment,
    })
}

/// Reads the headers; `whole` if all of the packet is there and its options are to be obeyed.
fn parse_v6(packet: &[u8], whole: bool) -> Result<IpHeader, IpError> {
    let fixed = packet.first_chunk::<8>().ok_or(IpError::Short)?;
    let [_, _, _, _, l0, l1, next, hop_limit] = *fixed;
    let address = |at: usize| -> Result<Ipv6Addr, IpError> {
        let bytes = packet.get(at..).and_then(|rest| rest.first_chunk::<16>());
        let address = Ipv6Addr::from(*bytes.ok_or(IpError::Short)?);
        match address.to_ipv4_mapped() {
            Some(_) => Err(IpError::Address),
            None => Ok(address),
        }
    };
    let mut header = IpHeader {
        source: address(8)?.into(),
        destination: address(24)?.into(),
        protocol: next,
        protocol_at: 6,
        header_len: IPV6_HEADER,
        total_len: IPV6_HEADER + usize::from(u16::from_be_bytes([l0, l1])),
        hop_limit,
        fragment: None,
    };
    let packet = match packet.get(..header.total_len) {
        Some(packet) => packet,
        None if whole => return Err(IpError::Short),
        None => packet,
    };
    // Each is eight bytes at least, so that the packet's length bounds them.
    while follow_extension(packet, whole, &mut header)? {}
    if header.header_len > header.total_len {
        return Err(IpError::Length);
    }
    Ok(header)
}

/// Steps over one extension header, which is `obeyed` or not; `false` if there is none.
fn follow_extension(packet: &[u8], obeyed: bool, header: &mut IpHeader) -> Result<bool, IpError> {
    // Behind the first fragment's header the rest belongs to what is reassembled,
    // extension headers included.
    if header.fragment.is_some() {
        return Ok(false);
    }
    let kind = header.protocol;
    if !matches!(
        kind,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
    ) {
        return Ok(false);
    }
    let extension = packet
        .get(header.header_len..)
        .and_then(|rest| rest.first_chunk::<8>())
        .ok_or(IpError::Short)?;
    let [next, length, o0, segments_left, i0, i1, i2, i3] = *extension;
    let start = header.header_len;
    if kind == HOP_BY_HOP && start != IPV6_HEADER && obeyed {
        return Err(IpError::Parameter {
            problem: IcmpError::Protocol,
            at: header.protocol_at,
        });
    }
    (header.protocol, header.protocol_at) = (next, start);
    header.header_len += match kind {
        FRAGMENT => FRAGMENT_HEADER,
        AUTHENTICATION => (usize::from(length) + 2) * 4,
        _ => (usize::from(length) + 1) * 8,
    };
    match kind {
        HOP_BY_HOP | DESTINATION if obeyed => {
            let options = packet.get(start + 2..header.header_len);
            options::check_v6(options.ok_or(IpError::Short)?, start + 2)?;
        }
        ROUTING if segments_left > 0 && obeyed => {
            // No type of it is known here (RFC 8200 section 4.4).
            return Err(IpError::Parameter {
                problem: IcmpError::Parameter,
                at: start + 2,
            });
        }
        FRAGMENT => {
            let field = u16::from_be_bytes([o0, segments_left]);
            let (more, offset) = (field & 1 != 0, usize::from(field & 0xfff8));
            // An atomic fragment (RFC 6946) is a whole packet.
            if more || offset > 0 {
                header.fragment = Some(Fragment {
                    id: u32::from_be_bytes([i0, i1, i2, i3]),
                    offset,
                    more,
                });
            }
        }
        _ => {}
    }
    Ok(true)
}

/// The IP headers of a packet to be built.
#[derive(Debug, Clone, Copy)]
pub struct IpBuilder {
    /// Who sends it.
    pub source: IpAddr,
    /// Whom it is for; of the same family as `source`.
    pub destination: IpAddr,
    /// The transport protocol.
    pub protocol: u8,
    /// Bytes behind the IP headers.
    pub payload_len: usize,
    /// Which part of a fragmented packet it is; whole packets forbid fragmentation.
    pub fragment: Option<Fragment>,
}

impl IpBuilder {
    /// Bytes the headers take.
    #[must_use]
    pub fn header_len(&self) -> usize {
        match (self.source, self.fragment) {
            (IpAddr::V4(_), _) => IPV4_HEADER,
            (IpAddr::V6(_), None) => IPV6_HEADER,
            (IpAddr::V6(_), Some(_)) => IPV6_HEADER + FRAGMENT_HEADER,
        }
    }

    /// Appends the headers; `false`, and nothing is appended, if the addresses are of
    /// two families or the packet is too long for its length field.
    pub fn encode(&self, head: &mut Head) -> bool {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.encode_v4(head, source, destination)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.encode_v6(head, source, destination)
            }
            _ => false,
        }
    }

    /// As [`Self::encode`], but an IPv4 packet that is too long for its length field has a
    /// length of zero in it. Linux takes that from a device whose segmentation it is to do
    /// (its "BIG TCP", since 6.3): it then believes the length of the buffer.
    pub fn encode_oversize(&self, head: &mut Head) -> bool {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) if self.fragment.is_none() => {
                let total = u16::try_from(self.payload_len + IPV4_HEADER);
                self.write_v4(head, source, destination, total.unwrap_or(0));
                true
            }
            _ => self.encode(head),
        }
    }

    fn encode_v4(&self, head: &mut Head, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let Ok(total) = u16::try_from(self.payload_len + IPV4_HEADER) else {
            return false;
        };
        self.write_v4(head, source, destination, total);
        true
    }

    fn write_v4(&self, head: &mut Head, source: Ipv4Addr, destination: Ipv4Addr, total: u16) {
        let [t0, t1] = total.to_be_bytes();
        // RFC 6864: an atomic datagram's identification has no meaning.
        let (id, field) = match self.fragment {
            None => ([0; 2], 0x4000),
            Some(fragment) => {
                let [_, _, id @ ..] = fragment.id.to_be_bytes();
                let more = if fragment.more { 0x2000 } else { 0 };
                let offset = u16::try_from(fragment.offset / 8).unwrap_or(0) & 0x1fff;
                (id, more | offset)
            }
        };
        let [i0, i1] = id;
        let [f0, f1] = field.to_be_bytes();
        let mut fixed = [0; IPV4_HEADER];
        let leading = [
            0x45,
            0,
            t0,
            t1,
            i0,
            i1,
            f0,
            f1,
            HOP_LIMIT,
            self.protocol,
            0,
            0,
        ];
        let fields = leading
            .into_iter()
            .chain(source.octets())
            .chain(destination.octets());
        for (place, byte) in fixed.iter_mut().zip(fields) {
            *place = byte;
        }
        let mut sum = Checksum::new();
        sum.add(&fixed);
        let at = head.len();
        head.push(&fixed);
        head.patch(at + 10, &sum.finish());
    }

    fn encode_v6(&self, head: &mut Head, source: Ipv6Addr, destination: Ipv6Addr) -> bool {
        let extension = self.header_len() - IPV6_HEADER;
        let Ok(length) = u16::try_from(self.payload_len + extension) else {
            return false;
        };
        let [l0, l1] = length.to_be_bytes();
        let next = match self.fragment {
            None => self.protocol,
            Some(_) => FRAGMENT,
        };
        head.push(&[0x60, 0, 0, 0, l0, l1, next, HOP_LIMIT]);
        head.push(&source.octets());
        head.push(&destination.octets());
        if let Some(fragment) = self.fragment {
            let offset = u16::try_from(fragment.offset).unwrap_or(0) & 0xfff8;
            let field = offset | u16::from(fragment.more);
            head.push(&[self.protocol, 0]);
            head.push(&field.to_be_bytes());
            head.push(&fragment.id.to_be_bytes());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(builder: IpBuilder) -> Vec<u8> {
        let mut head = Head::new();
        assert!(builder.encode(&mut head));
        let mut packet = head.bytes().to_vec();
        packet.resize(builder.header_len() + builder.payload_len, 7);
        packet
    }

    fn builder(v6: bool, fragment: Option<Fragment>) -> IpBuilder {
        let (source, destination) = if v6 {
            ("2001:db8::1", "2001:db8::2")
        } else {
            ("192.0.2.1", "192.0.2.2")
        };
        IpBuilder {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol: protocol::UDP,
            payload_len: 16,
            fragment,
        }
    }

    #[test]
    fn what_is_built_is_read_back() {
        let part = Fragment {
            id: 0x1234,
            offset: 1_480,
            more: true,
        };
        for v6 in [false, true] {
            for fragment in [None, Some(part)] {
                let builder = builder(v6, fragment);
                let packet = built(builder);
                let header = IpHeader::parse(&packet).unwrap();
                assert_eq!(header.source, builder.source);
                assert_eq!(header.destination, builder.destination);
                assert_eq!(header.protocol, protocol::UDP);
                assert_eq!(header.fragment, fragment);
                assert_eq!(header.payload(&packet), [7; 16]);
            }
        }
    }

    #[test]
    fn extension_headers_are_stepped_over() {
        let mut packet = built(builder(true, None));
        packet[6] = HOP_BY_HOP;
        packet[5] += 24;
        let mut extensions = vec![DESTINATION, 0, 1, 4, 0, 0, 0, 0];
        extensions.extend([protocol::UDP, 1, 0x1e, 12]);
        extensions.extend([0; 12]);
        packet.splice(40..40, extensions);
        let header = IpHeader::parse(&packet).unwrap();
        assert_eq!(header.protocol, protocol::UDP);
        assert_eq!(header.payload(&packet), [7; 16]);
    }

    #[test]
    fn options_that_forbid_to_go_on_are_obeyed() {
        // A home address, a jumbo payload, one cut short, and some that may be skipped.
        let cases = [
            ([0xc9, 4, 0, 0, 0, 0], false),
            ([0xc2, 4, 0, 1, 0, 0], false),
            ([4, 5, 0, 0, 0, 0], false),
            ([4, 1, 7, 5, 1, 0], true),
            ([0, 0, 0, 1, 1, 0], true),
            ([1, 4, 0, 0, 1, 0], false),
        ];
        for kind in [HOP_BY_HOP, DESTINATION] {
            for (options, goes_on) in cases {
                let mut packet = built(builder(true, None));
                packet[6] = kind;
                packet[5] += 8;
                packet.splice(40..40, [&[protocol::UDP, 0][..], &options].concat());
                assert_eq!(IpHeader::parse(&packet).is_ok(), goes_on, "{options:?}");
            }
        }
        let mut late = built(builder(true, None));
        late[6] = DESTINATION;
        late[5] += 16;
        late.splice(
            40..40,
            [HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0],
        );
        let error = Err(IpError::Parameter {
            problem: IcmpError::Protocol,
            at: 40,
        });
        assert_eq!(IpHeader::parse(&late), error);
        let quoted = IpHeader::parse_quoted(&late).unwrap();
        assert_eq!((quoted.protocol, quoted.header_len), (protocol::UDP, 56));
    }

    /// A packet with extension headers of these kinds and options.
    fn extended(extensions: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = built(builder(true, None));
        for options in extensions {
            let words = u8::try_from((options.len() + 2) / 8 - 1).unwrap();
            let header = [&[packet[6], words][..], options].concat();
            packet[6] = DESTINATION;
            let length = u16::try_from(packet.len() - 40 + header.len()).unwrap();
            packet[4..6].copy_from_slice(&length.to_be_bytes());
            packet.splice(40..40, header);
        }
        packet
    }

    #[test]
    fn as_many_headers_and_options_are_taken_as_linux_takes() {
        let goes_on = |extensions: &[Vec<u8>]| IpHeader::parse(&extended(extensions)).is_ok();
        for headers in [1, 8, 9, 150] {
            assert!(goes_on(&vec![vec![1, 4, 0, 0, 0, 0]; headers]), "{headers}");
        }
        for (options, taken) in [(7, true), (8, true), (9, false)] {
            let mut all = [0x1e, 0].repeat(options);
            all.resize((options * 2 + 2).next_multiple_of(8) - 2, 0);
            assert_eq!(goes_on(&[all]), taken, "{options} options");
        }
        let padded: [(&[u8], bool); 6] = [
            (&[0; 7], true),
            (&[0; 8], false),
            (&[1, 5, 0, 0, 0, 0, 0], true),
            (&[1, 6, 0, 0, 0, 0, 0, 0], false),
            (&[0, 0, 0, 0, 0x1e, 0, 0, 0, 0, 0], true),
            (&[1, 1, 9], false),
        ];
        for (options, taken) in padded {
            assert_eq!(options::check_v6(options, 0).is_ok(), taken, "{options:?}");
        }
    }

    #[test]
    fn routes_chosen_by_the_sender_are_refused() {
        let cases = [
            ([131, 7, 4, 10, 0, 0, 1, 0], false),
            ([1, 137, 7, 4, 10, 0, 0, 1], false),
            ([7, 7, 4, 0, 0, 0, 0, 0], true),
            ([0, 131, 7, 4, 0, 0, 0, 0], true),
            ([148, 4, 0, 0, 1, 1, 1, 1], true),
            ([148, 9, 0, 0, 0, 0, 0, 0], false),
            ([148, 1, 0, 0, 0, 0, 0, 0], false),
        ];
        for (options, goes_on) in cases {
            let mut packet = built(builder(false, None));
            packet[0] = 0x47;
            packet[3] += 8;
            packet.splice(20..20, options);
            packet[10..12].fill(0);
            let mut sum = Checksum::new();
            sum.add(&packet[..28]);
            packet[10..12].copy_from_slice(&sum.finish());
            assert_eq!(IpHeader::parse(&packet).is_ok(), goes_on, "{options:?}");
        }
    }

    #[test]
    fn what_is_no_packet_says_why() {
        let good = built(builder(false, None));
        let cases: [(usize, u8, IpError); 5] = [
            (0, 0x55, IpError::Version),
            (0, 0x44, IpError::Length),
            (2, 0xff, IpError::Short),
            (3, 19, IpError::Length),
            (8, 1, IpError::Checksum),
        ];
        for (at, byte, why) in cases {
            let mut packet = good.clone();
            packet[at] = byte;
            assert_eq!(IpHeader::parse(&packet), Err(why), "byte {at}");
        }
        assert_eq!(IpHeader::parse(&good[..19]), Err(IpError::Short));
        assert_eq!(IpHeader::parse(&[]), Err(IpError::Short));
    }

    #[test]
    fn a_chain_of_extensions_without_end_is_given_up() {
        let mut packet = built(builder(true, None));
        packet[6] = HOP_BY_HOP;
        packet[5] = 200;
        packet.truncate(40);
        packet.resize(240, 0);
        let error = IpHeader::parse(&packet);
        assert!(matches!(error, Err(IpError::Parameter { at: 40, .. })));
        assert_eq!(IpHeader::parse_quoted(&packet), Err(IpError::Short));
    }

    #[test]
    fn only_an_oversize_packet_has_no_length() {
        for (payload_len, total) in [(16, [0, 36]), (65_515, [0xff, 0xff]), (65_516, [0, 0])] {
            let builder = IpBuilder {
                payload_len,
                ..builder(false, None)
            };
            let mut head = Head::new();
            assert!(builder.encode_oversize(&mut head));
            assert_eq!(head.bytes()[2..4], total);
            assert!(checksum_valid(head.bytes()));
            assert_eq!(builder.encode(&mut Head::new()), total != [0, 0]);
        }
        let long = IpBuilder {
            payload_len: 65_536,
            ..builder(true, None)
        };
        assert!(!long.encode_oversize(&mut Head::new()), "IPv6 has no such");
    }

    #[test]
    fn no_header_mixes_families() {
        let mut mixed = builder(false, None);
        mixed.destination = Ipv6Addr::LOCALHOST.into();
        assert!(!mixed.encode(&mut Head::new()));
    }
}
