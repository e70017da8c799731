//! UDP headers (RFC 768).

use crate::head::Head;

/// Bytes of a UDP header.
pub const UDP_HEADER: usize = 8;
/// Where the checksum is in a UDP header.
pub const UDP_CHECKSUM: usize = 6;

/// A UDP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpHeader {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// Bytes of header and payload; 0 in a super-packet or a jumbogram.
    pub length: u16,
    /// The checksum field; 0 means none was computed.
    pub checksum: [u8; 2],
}

impl UdpHeader {
    /// Reads a header; `None` if it is cut short.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let [s0, s1, d0, d1, l0, l1, c0, c1] = *datagram.first_chunk::<UDP_HEADER>()?;
        Some(Self {
            source: u16::from_be_bytes([s0, s1]),
            destination: u16::from_be_bytes([d0, d1]),
            length: u16::from_be_bytes([l0, l1]),
            checksum: [c0, c1],
        })
    }

    /// Appends the header.
    pub fn encode(&self, head: &mut Head) {
        head.push(&self.source.to_be_bytes());
        head.push(&self.destination.to_be_bytes());
        head.push(&self.length.to_be_bytes());
        head.push(&self.checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_back() {
        let header = UdpHeader {
            source: 53,
            destination: 40_000,
            length: 8,
            checksum: [1, 2],
        };
        let mut head = Head::new();
        header.encode(&mut head);
        assert_eq!(UdpHeader::parse(head.bytes()), Some(header));
        assert_eq!(UdpHeader::parse(&head.bytes()[..7]), None);
    }
}
