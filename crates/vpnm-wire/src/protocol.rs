//! Transport protocols by their IANA number.

/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// `ICMPv6`.
pub const ICMPV6: u8 = 58;
