//! TCP headers (RFC 9293) and their options.

use std::ops::{BitAnd, BitOr, Sub};

use crate::head::Head;

/// Bytes of a TCP header without options.
pub const TCP_HEADER: usize = 20;
/// Where the checksum is in a TCP header.
pub const TCP_CHECKSUM: usize = 16;
/// Selective acknowledgements that fit beside no other option (RFC 2018 section 3).
pub const MAX_SACK: usize = 4;
/// Selective acknowledgements that fit beside timestamps.
const MAX_SACK_STAMPED: usize = 3;
/// Bytes that timestamps take, padded to whole words as all hosts do.
pub const TCP_STAMPS: usize = 12;
/// Largest shift of a window (RFC 7323 section 2.3).
const MAX_WINDOW_SHIFT: u8 = 14;

const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// A sequence number: a place in a stream, compared modulo 2^32 (RFC 9293 section 3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether `self` is before `other`.
    #[must_use]
    pub fn before(self, other: Self) -> bool {
        other.0.wrapping_sub(self.0).wrapping_sub(1) < 1 << 31
    }

    /// Whether `self` is `other` or before it.
    #[must_use]
    pub fn not_after(self, other: Self) -> bool {
        !other.before(self)
    }

    /// The place `count` bytes further on.
    #[must_use]
    pub fn plus(self, count: usize) -> Self {
        let count = u32::try_from(count & 0xffff_ffff).unwrap_or(0);
        Self(self.0.wrapping_add(count))
    }

    /// The place `count` bytes before.
    #[must_use]
    pub fn minus(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }

    /// The later of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }
}

impl Sub for Seq {
    type Output = usize;

    /// Bytes from `earlier` to `self`; 0 if `earlier` is the later one.
    fn sub(self, earlier: Self) -> usize {
        if self.before(earlier) {
            return 0;
        }
        usize::try_from(self.0.wrapping_sub(earlier.0)).unwrap_or(usize::MAX)
    }
}

/// The flags of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// The sender is done.
    pub const FIN: Self = Self(0x01);
    /// A connection begins.
    pub const SYN: Self = Self(0x02);
    /// The connection is no more.
    pub const RST: Self = Self(0x04);
    /// To be given to the application at once.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement number is valid.
    pub const ACK: Self = Self(0x10);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether they are those of a first segment: SYN, and nothing that contradicts it.
    #[must_use]
    pub fn opens(self) -> bool {
        self & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }
}

impl BitAnd for TcpFlags {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for TcpFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The fixed part of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpHeader {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// Where the first byte of payload, or SYN, stands.
    pub seq: Seq,
    /// The next byte expected.
    pub ack: Seq,
    /// What kind of segment it is.
    pub flags: TcpFlags,
    /// Bytes that may be sent from `ack` on, not yet scaled.
    pub window: u16,
    /// Where the payload begins.
    pub header_len: usize,
}

/// Timestamps of a segment (RFC 7323 section 3.2), in ticks of clocks that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpStamps {
    /// The sender's clock.
    pub value: u32,
    /// What the sender last saw of the receiver's clock; valid with [`TcpFlags::ACK`].
    pub echo: u32,
}

/// The options of a TCP header that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Longest payload the sender takes in one segment.
    pub max_segment: Option<u16>,
    /// Bits the sender's windows are to be shifted by, at most 14.
    pub window_scale: Option<u8>,
    /// Whether the sender understands selective acknowledgements.
    pub sack_permitted: bool,
    /// When the segment was sent, and what it answers.
    pub stamps: Option<TcpStamps>,
    /// Ranges the sender has beyond its acknowledgement, `sacks` of them.
    pub sack: [(Seq, Seq); MAX_SACK],
    /// How many of `sack` are set.
    pub sacks: usize,
}

impl TcpHeader {
    /// Reads the fixed part of a segment's header; `None` if it is cut short or its
    /// length is impossible.
    #[must_use]
    pub fn parse(segment: &[u8]) -> Option<Self> {
        let fixed = segment.first_chunk::<TCP_HEADER>()?;
        let [a, b, c, d, rest @ ..] = *fixed;
        let [s0, s1, s2, s3, k0, k1, k2, k3, offset, flags, w0, w1, ..] = rest;
        let header_len = usize::from(offset >> 4) * 4;
        if header_len < TCP_HEADER || header_len > segment.len() {
            return None;
        }
        Some(Self {
            source: u16::from_be_bytes([a, b]),
            destination: u16::from_be_bytes([c, d]),
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            ack: Seq(u32::from_be_bytes([k0, k1, k2, k3])),
            flags: TcpFlags(flags),
            window: u16::from_be_bytes([w0, w1]),
            header_len,
        })
    }

    /// Appends the header with `options` and a checksum field of `checksum`;
    /// `header_len` is not read but follows from the options.
    pub fn encode(&self, options: &TcpOptions, checksum: [u8; 2], head: &mut Head) {
        let length = TCP_HEADER + options.encoded_len();
        let offset = u8::try_from(length / 4).unwrap_or(5) << 4;
        head.push(&self.source.to_be_bytes());
        head.push(&self.destination.to_be_bytes());
        head.push(&self.seq.0.to_be_bytes());
        head.push(&self.ack.0.to_be_bytes());
        head.push(&[offset, self.flags.0]);
        head.push(&self.window.to_be_bytes());
        head.push(&checksum);
        head.push(&[0, 0]);
        options.encode(head);
    }
}

impl TcpOptions {
    /// Reads the options of a segment; what is malformed ends the reading, as in Linux.
    #[must_use]
    pub fn parse(segment: &[u8], header_len: usize) -> Self {
        let mut options = Self::default();
        let mut rest = segment.get(TCP_HEADER..header_len).unwrap_or_default();
        while let [kind, after @ ..] = rest {
            match *kind {
                END => break,
                NO_OPERATION => {
                    rest = after;
                    continue;
                }
                _ => {}
            }
            let Some(length) = after.first().map(|length| usize::from(*length)) else {
                break;
            };
            let (Some(body), Some(next)) = (rest.get(2..length), rest.get(length..)) else {
                break;
            };
            options.take(*kind, body);
            rest = next;
        }
        options
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (MAXIMUM_SEGMENT, &[high, low]) => {
                self.max_segment = Some(u16::from_be_bytes([high, low]));
            }
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift.min(MAX_WINDOW_SHIFT)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, ranges) => {
                let (ranges, _) = ranges.as_chunks::<8>();
                for (place, range) in self.sack.iter_mut().zip(ranges) {
                    let [a, b, c, d, e, f, g, h] = *range;
                    let left = Seq(u32::from_be_bytes([a, b, c, d]));
                    let right = Seq(u32::from_be_bytes([e, f, g, h]));
                    *place = (left, right);
                }
                self.sacks = ranges.len().min(MAX_SACK);
            }
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => {
                self.stamps = Some(TcpStamps {
                    value: u32::from_be_bytes([a, b, c, d]),
                    echo: u32::from_be_bytes([e, f, g, h]),
                });
            }
            _ => {}
        }
    }

    /// Bytes the options take, padded to whole words.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let mut length = 0;
        if self.max_segment.is_some() {
            length += 4;
        }
        if self.window_scale.is_some() {
            length += 4;
        }
        if self.sack_permitted {
            length += 4;
        }
        if self.stamps.is_some() {
            length += TCP_STAMPS;
        }
        if self.sacks > 0 {
            length += 4 + 8 * self.fitting_sacks();
        }
        length
    }

    fn fitting_sacks(&self) -> usize {
        let most = match self.stamps {
            Some(_) => MAX_SACK_STAMPED,
            None => MAX_SACK,
        };
        self.sacks.min(most)
    }

    fn encode(&self, head: &mut Head) {
        if let Some(size) = self.max_segment {
            let [high, low] = size.to_be_bytes();
            head.push(&[MAXIMUM_SEGMENT, 4, high, low]);
        }
        if self.sack_permitted {
            head.push(&[NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2]);
        }
        if let Some(shift) = self.window_scale {
            head.push(&[NO_OPERATION, WINDOW_SCALE, 3, shift]);
        }
        if let Some(TcpStamps { value, echo }) = self.stamps {
            head.push(&[NO_OPERATION, NO_OPERATION, TIMESTAMPS, 10]);
            head.push(&value.to_be_bytes());
            head.push(&echo.to_be_bytes());
        }
        if self.sacks > 0 {
            let count = self.fitting_sacks();
            let length = u8::try_from(2 + 8 * count).unwrap_or(2);
            head.push(&[NO_OPERATION, NO_OPERATION, SACK, length]);
            for (left, right) in self.sack.iter().take(count) {
                head.push(&left.0.to_be_bytes());
                head.push(&right.0.to_be_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_wrap() {
        let (a, b) = (Seq(u32::MAX - 1), Seq(3));
        assert!(a.before(b) && !b.before(a) && !a.before(a));
        assert!(a.not_after(a) && a.not_after(b));
        assert_eq!(b - a, 5);
        assert_eq!(a - b, 0);
        assert_eq!(a.plus(5), b);
        assert_eq!(b.minus(5), a);
        assert_eq!(a.max(b), b);
    }

    #[test]
    fn what_is_built_is_read_back() {
        let header = TcpHeader {
            source: 1_234,
            destination: 443,
            seq: Seq(1),
            ack: Seq(2),
            flags: TcpFlags::SYN | TcpFlags::ACK,
            window: 65_535,
            header_len: TCP_HEADER + 12,
        };
        let handshake = TcpOptions {
            max_segment: Some(1_460),
            window_scale: Some(8),
            sack_permitted: true,
            ..TcpOptions::default()
        };
        let mut sack = TcpOptions {
            sacks: MAX_SACK,
            ..TcpOptions::default()
        };
        sack.sack = [10, 20, 30, 40].map(|at| (Seq(at), Seq(at + 5)));
        let stamps = Some(TcpStamps {
            value: u32::MAX,
            echo: 7,
        });
        let stamped = TcpOptions {
            stamps,
            sacks: MAX_SACK_STAMPED,
            ..sack
        };
        let handshake_stamped = TcpOptions {
            stamps,
            ..handshake
        };
        let all = [
            TcpOptions::default(),
            handshake,
            handshake_stamped,
            sack,
            stamped,
        ];
        for mut options in all {
            options
                .sack
                .iter_mut()
                .skip(options.sacks)
                .for_each(|range| {
                    *range = Default::default();
                });
            let mut head = Head::new();
            header.encode(&options, [0, 0], &mut head);
            let read = TcpHeader::parse(head.bytes()).unwrap();
            let length = TCP_HEADER + options.encoded_len();
            assert_eq!(head.len(), length);
            assert_eq!(
                read,
                TcpHeader {
                    header_len: length,
                    ..header
                }
            );
            assert_eq!(TcpOptions::parse(head.bytes(), length), options);
        }
    }

    #[test]
    fn no_more_ranges_are_built_than_fit_beside_timestamps() {
        let options = TcpOptions {
            stamps: Some(TcpStamps::default()),
            sacks: MAX_SACK,
            ..TcpOptions::default()
        };
        let mut head = Head::new();
        TcpHeader::default().encode(&options, [0, 0], &mut head);
        assert_eq!(head.len(), 60, "the longest header there is");
        let read = TcpOptions::parse(head.bytes(), head.len());
        assert_eq!(read.sacks, MAX_SACK_STAMPED);
    }

    #[test]
    fn malformed_options_end_the_reading() {
        let mut segment = vec![0; TCP_HEADER];
        segment.extend([SACK_PERMITTED, 2, WINDOW_SCALE, 0, 255, 255, 255, 255]);
        let options = TcpOptions::parse(&segment, segment.len());
        assert!(options.sack_permitted);
        assert_eq!(options.window_scale, None);
    }

    #[test]
    fn a_header_of_impossible_length_is_none() {
        let mut segment = [0; 24];
        for offset in [0_u8, 4, 7, 15] {
            segment[12] = offset << 4;
            assert_eq!(TcpHeader::parse(&segment), None, "{offset} words");
        }
    }
}
