//! The Internet checksum (RFC 1071).

use std::net::IpAddr;

/// A running one's complement sum over pieces of a packet.
///
/// Pieces of odd length may follow each other: bytes keep the place they have in
/// the packet as a whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct Checksum {
    /// Sum of 16-bit words in the machine's own byte order; the sum is the same in
    /// both orders but for its own bytes' order (RFC 1071 section 2).
    sum: u64,
    odd: bool,
}

impl Checksum {
    /// The sum over nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The pseudo-header of TCP, UDP and `ICMPv6` (RFC 9293 section 3.1, RFC 8200
    /// section 8.1); `length` is that of the transport header and its payload.
    #[must_use]
    pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Self {
        let mut sum = Self::new();
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => sum.add(&address.octets()),
                IpAddr::V6(address) => sum.add(&address.octets()),
            }
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        sum.add(&length.to_be_bytes());
        sum.add(&[0, protocol]);
        sum
    }

    /// Adds the next bytes of the packet.
    pub fn add(&mut self, bytes: &[u8]) {
        let mut part = sum_words(bytes);
        if self.odd {
            part = u64::from(fold(part).swap_bytes());
        }
        // Both are far below 2^63: a packet has at most 2^16 words of 2^16.
        self.sum = u64::from(fold(self.sum)) + u64::from(fold(part));
        self.odd ^= bytes.len() % 2 == 1;
    }

    /// The folded sum as it stands in a packet whose checksum is partial: not complemented.
    #[must_use]
    pub fn partial(self) -> [u8; 2] {
        fold(self.sum).to_ne_bytes()
    }

    /// The checksum as it stands in a packet.
    #[must_use]
    pub fn finish(self) -> [u8; 2] {
        (!fold(self.sum)).to_ne_bytes()
    }

    /// Whether the bytes added, among them a checksum, are intact.
    #[must_use]
    pub fn is_valid(self) -> bool {
        fold(self.sum) == u16::MAX
    }
}

/// Folds a sum to 16 bits, carries added back in.
fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    u16::try_from(sum & 0xffff).unwrap_or(0)
}

/// The plain sum of the native 32-bit words of `bytes`, the last one padded with
/// zeros. A 32-bit word is two 16-bit words once carries are folded.
fn sum_words(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut lanes = [0_u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (words, tail) = rest.as_chunks::<4>();
    let mut last = [0; 4];
    for (place, byte) in last.iter_mut().zip(tail) {
        *place = *byte;
    }
    lanes.iter().sum::<u64>()
        + words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)))
            .sum::<u64>()
        + u64::from(u32::from_ne_bytes(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Word by word, as RFC 1071 section 1 describes it.
    fn slow(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        (!u16::try_from(sum).unwrap()).to_be_bytes()
    }

    #[test]
    fn the_example_of_the_rfc() {
        let mut sum = Checksum::new();
        sum.add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.partial(), [0xdd, 0xf2]);
        assert_eq!(sum.finish(), [0x22, 0x0d]);
    }

    #[test]
    fn any_cut_gives_the_same_sum() {
        let bytes: Vec<u8> = (0..1_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24).try_into().unwrap())
            .collect();
        for len in [0, 1, 2, 3, 31, 32, 33, 67, 999, 1_000] {
            let whole = &bytes[..len];
            for cut in 0..=len {
                let mut sum = Checksum::new();
                sum.add(&whole[..cut]);
                sum.add(&whole[cut..]);
                assert_eq!(sum.finish(), slow(whole), "{len} bytes cut at {cut}");
            }
        }
    }

    #[test]
    fn the_longest_packet_does_not_overflow() {
        let bytes = vec![0xff; 65_535];
        let mut sum = Checksum::new();
        sum.add(&bytes);
        assert_eq!(sum.finish(), slow(&bytes));
    }
}
