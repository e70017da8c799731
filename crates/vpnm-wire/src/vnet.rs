//! The header that a TUN queue opened with `IFF_VNET_HDR` puts before each packet.

/// Bytes of the header without the optional buffer count (virtio 1.2 section 5.1.6).
pub const LENGTH: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// Set beside the type when a super-packet carries an ECN mark.
const GSO_ECN: u8 = 0x80;

/// `struct virtio_net_hdr`: what is still to be done to a packet, in host byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VnetHeader {
    /// How far the checksum is.
    pub checksum: ChecksumState,
    /// How the packet is to be cut, or was joined.
    pub segmentation: Segmentation,
    /// Payload bytes of each segment; 0 without segmentation.
    pub segment_size: u16,
    /// Bytes of IP and transport header. Not to be trusted on packets that were read:
    /// on forwarded ones it is the length of the linear part of the kernel's buffer.
    pub header_length: u16,
    /// Where the transport header begins, when the checksum is partial.
    pub checksum_start: u16,
    /// Where the checksum field is, from there.
    pub checksum_offset: u16,
}

/// How far a transport checksum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChecksumState {
    /// It is complete and nobody has verified it.
    #[default]
    Complete,
    /// The field holds only the pseudo-header's sum; the data never left memory.
    Partial,
    /// It was verified.
    Verified,
}

/// How a packet is to be cut into segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Segmentation {
    /// It is one packet.
    #[default]
    None,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP datagrams of one size, either family.
    Udp,
}

impl VnetHeader {
    /// Reads the header that `packet` begins with; `None` if it is too short or of a
    /// kind that was never asked for.
    #[must_use]
    pub fn decode(packet: &[u8]) -> Option<Self> {
        let [flags, kind, rest @ ..] = packet.first_chunk::<LENGTH>()?;
        let [h0, h1, g0, g1, s0, s1, o0, o1] = *rest;
        let segmentation = match kind & !GSO_ECN {
            0 => Segmentation::None,
            1 => Segmentation::Tcp4,
            4 => Segmentation::Tcp6,
            5 => Segmentation::Udp,
            _ => return None,
        };
        let checksum = match (flags & NEEDS_CHECKSUM, flags & DATA_VALID) {
            (0, 0) => ChecksumState::Complete,
            (0, _) => ChecksumState::Verified,
            (_, _) => ChecksumState::Partial,
        };
        Some(Self {
            checksum,
            segmentation,
            segment_size: u16::from_ne_bytes([g0, g1]),
            header_length: u16::from_ne_bytes([h0, h1]),
            checksum_start: u16::from_ne_bytes([s0, s1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        })
    }

    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; LENGTH] {
        let flags = match self.checksum {
            ChecksumState::Complete => 0,
            ChecksumState::Partial => NEEDS_CHECKSUM,
            ChecksumState::Verified => DATA_VALID,
        };
        let kind = match self.segmentation {
            Segmentation::None => 0,
            Segmentation::Tcp4 => 1,
            Segmentation::Tcp6 => 4,
            Segmentation::Udp => 5,
        };
        let [h0, h1] = self.header_length.to_ne_bytes();
        let [g0, g1] = self.segment_size.to_ne_bytes();
        let [s0, s1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        [flags, kind, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let header = VnetHeader {
            checksum: ChecksumState::Partial,
            segmentation: Segmentation::Tcp6,
            segment_size: 1_440,
            header_length: 60,
            checksum_start: 40,
            checksum_offset: 16,
        };
        assert_eq!(VnetHeader::decode(&header.encode()), Some(header));
    }

    #[test]
    fn a_mark_of_congestion_is_no_other_kind() {
        let mut bytes = VnetHeader::default().encode();
        bytes[1] = 0x81;
        let header = VnetHeader::decode(&bytes).unwrap();
        assert_eq!(header.segmentation, Segmentation::Tcp4);
    }

    #[test]
    fn what_nobody_asked_for_is_no_header() {
        assert_eq!(VnetHeader::decode(&[0; 9]), None);
        assert_eq!(VnetHeader::decode(&[0, 3, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
