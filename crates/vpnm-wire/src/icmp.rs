//! ICMP (RFC 792) and `ICMPv6` (RFC 4443): echo and the errors that matter to flows.

use std::net::IpAddr;

use crate::checksum::Checksum;
use crate::head::Head;
use crate::protocol;

/// Bytes of an ICMP header: type, code, checksum and four bytes of the type's own.
pub const ICMP_HEADER: usize = 8;

/// An ICMP message of either family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Icmp<'a> {
    /// A ping; `body` is all that follows the checksum.
    EchoRequest {
        /// Identifier, sequence number and data.
        body: &'a [u8],
    },
    /// A packet could not be delivered.
    Unreachable {
        /// Whether the host is there but nobody listens.
        port: bool,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// A packet was too long for a link on its way.
    TooBig {
        /// The longest packet that link takes in bytes; 0 if an old router did not say.
        mtu: u32,
        /// The beginning of that packet.
        quoted: &'a [u8],
    },
    /// Anything else.
    Other,
}

/// An error to be reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpError {
    /// The network cannot be reached.
    Network,
    /// The host cannot be reached.
    Host,
    /// Nobody listens on the port.
    Port,
    /// An administrator forbids it.
    Prohibited,
    /// Nobody speaks the protocol.
    Protocol,
    /// A byte of the headers is wrong.
    Parameter,
    /// Nobody knows an option, which forbids to go on without.
    Option,
    /// Parts of a packet never came.
    Reassembly,
    /// The first part of a packet lacks some of its headers; there is no such error over IPv4.
    Incomplete,
}

impl IcmpError {
    /// The four bytes before what is quoted, of which the byte at `at` is wrong; they say so
    /// where the family's error does.
    #[must_use]
    pub fn pointer(self, v6: bool, at: usize) -> [u8; 4] {
        match (v6, self) {
            (false, Self::Parameter | Self::Option) => {
                [u8::try_from(at).unwrap_or(u8::MAX), 0, 0, 0]
            }
            (true, Self::Protocol | Self::Parameter | Self::Option) => {
                u32::try_from(at).unwrap_or(u32::MAX).to_be_bytes()
            }
            _ => [0; 4],
        }
    }
}

/// Whether nobody may be told that something is wrong with the packet of this message: it is
/// an error itself, or may be one (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)).
#[must_use]
pub fn is_icmp_error(v6: bool, message: &[u8]) -> bool {
    match (v6, message.first()) {
        (_, None) => true,
        // The errors, and redirects.
        (true, Some(kind)) => matches!(kind, 0..128 | 137),
        // Those and all that is newer than timestamps and address masks: as Linux.
        (false, Some(kind)) => matches!(kind, 3..=5 | 11 | 12 | 19..),
    }
}

impl<'a> Icmp<'a> {
    /// Reads a message; `None` if it is cut short.
    #[must_use]
    pub fn parse(v6: bool, message: &'a [u8]) -> Option<Self> {
        let [kind, code, _, _, rest @ ..] = message else {
            return None;
        };
        let word = u32::from_be_bytes(*rest.first_chunk::<4>()?);
        let quoted = rest.get(4..).unwrap_or_default();
        Some(match (v6, *kind, *code) {
            (false, 8, 0) | (true, 128, 0) => Self::EchoRequest { body: rest },
            (false, 3, 4) => Self::TooBig {
                mtu: word & 0xffff,
                quoted,
            },
            (true, 2, _) => Self::TooBig { mtu: word, quoted },
            (false, 3, code) => Self::Unreachable {
                port: code == 3,
                quoted,
            },
            (true, 1, code) => Self::Unreachable {
                port: code == 4,
                quoted,
            },
            _ => Self::Other,
        })
    }
}

/// Appends the header of an echo reply to the request of that `body`.
pub fn encode_echo_reply(source: IpAddr, destination: IpAddr, body: &[u8], head: &mut Head) {
    let kind = if source.is_ipv6() { 129 } else { 0 };
    encode(source, destination, [kind, 0], body, head);
}

/// Appends the header of an error about the packet that `quoted` is the beginning of.
/// `body` is what follows the checksum: [`IcmpError::pointer`] and `quoted`.
pub fn encode_error(
    source: IpAddr,
    destination: IpAddr,
    error: IcmpError,
    body: &[u8],
    head: &mut Head,
) {
    let kind = match (source.is_ipv6(), error) {
        (false, IcmpError::Network) => [3, 0],
        (false, IcmpError::Host) => [3, 1],
        (false, IcmpError::Port) => [3, 3],
        (false, IcmpError::Prohibited) => [3, 13],
        (false, IcmpError::Protocol) => [3, 2],
        (false, IcmpError::Parameter | IcmpError::Option | IcmpError::Incomplete) => [12, 0],
        (false, IcmpError::Reassembly) => [11, 1],
        (true, IcmpError::Network) => [1, 0],
        (true, IcmpError::Prohibited) => [1, 1],
        (true, IcmpError::Host) => [1, 3],
        (true, IcmpError::Port) => [1, 4],
        (true, IcmpError::Protocol) => [4, 1],
        (true, IcmpError::Parameter) => [4, 0],
        (true, IcmpError::Option) => [4, 2],
        (true, IcmpError::Reassembly) => [3, 1],
        (true, IcmpError::Incomplete) => [4, 3],
    };
    encode(source, destination, kind, body, head);
}

fn encode(source: IpAddr, destination: IpAddr, kind: [u8; 2], body: &[u8], head: &mut Head) {
    let mut sum = if source.is_ipv6() {
        Checksum::pseudo_header(source, destination, protocol::ICMPV6, 4 + body.len())
    } else {
        Checksum::new()
    };
    sum.add(&kind);
    sum.add(body);
    head.push(&kind);
    head.push(&sum.finish());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_both_families_are_told_apart() {
        let message = |kind, code| [kind, code, 0, 0, 0, 0, 5, 0, 42];
        let quoted = &[42][..];
        let body = &[0, 0, 5, 0, 42][..];
        let cases = [
            (false, message(8, 0), Icmp::EchoRequest { body }),
            (true, message(128, 0), Icmp::EchoRequest { body }),
            (false, message(3, 4), Icmp::TooBig { mtu: 1_280, quoted }),
            (true, message(2, 0), Icmp::TooBig { mtu: 1_280, quoted }),
            (
                false,
                message(3, 3),
                Icmp::Unreachable { port: true, quoted },
            ),
            (
                true,
                message(1, 3),
                Icmp::Unreachable {
                    port: false,
                    quoted,
                },
            ),
            (false, message(128, 0), Icmp::Other),
            (true, message(8, 0), Icmp::Other),
        ];
        for (v6, bytes, expected) in cases {
            assert_eq!(Icmp::parse(v6, &bytes), Some(expected));
        }
        assert_eq!(Icmp::parse(false, &[8, 0, 0, 0, 1]), None);
    }

    #[test]
    fn a_reply_has_a_valid_checksum() {
        let body = [0, 1, 0, 2, 9, 9, 9];
        for text in ["192.0.2.1", "2001:db8::1"] {
            let ip: IpAddr = text.parse().unwrap();
            let mut head = Head::new();
            encode_echo_reply(ip, ip, &body, &mut head);
            let mut sum = match ip {
                IpAddr::V4(_) => Checksum::new(),
                IpAddr::V6(_) => Checksum::pseudo_header(ip, ip, protocol::ICMPV6, 11),
            };
            sum.add(head.bytes());
            sum.add(&body);
            assert!(sum.is_valid(), "{text}");
        }
    }
}
