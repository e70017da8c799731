//! Parts of IPv6 packets: whether they can be of one (RFC 8200 section 4.5).

use super::{FRAGMENT_HEADER, IpError, IpHeader, MAX_PAYLOAD, PAYLOAD_LENGTH_AT, protocol};
use crate::icmp::IcmpError;

/// What says that nothing follows (RFC 8200 section 4.7).
const NO_NEXT_HEADER: u8 = 59;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;

/// Checks a part, whose `header` was read from `packet`, which is all of it.
pub(super) fn check(header: &IpHeader, packet: &[u8]) -> Result<(), IpError> {
    let Some(fragment) = header.fragment else {
        return Ok(());
    };
    let length = header.total_len - header.header_len;
    let (problem, at) = if is_incomplete(header, packet) {
        (IcmpError::Incomplete, 0)
    } else if fragment.offset + length > MAX_PAYLOAD {
        let offset_at = header.header_len - FRAGMENT_HEADER + 2;
        (IcmpError::Parameter, offset_at)
    } else if fragment.more && !length.is_multiple_of(8) {
        (IcmpError::Parameter, PAYLOAD_LENGTH_AT)
    } else {
        return Ok(());
    };
    Err(IpError::Parameter { problem, at })
}

/// Whether a first part lacks some of the headers, by which those on its way judge the whole
/// packet (RFC 7112 section 5).
fn is_incomplete(header: &IpHeader, packet: &[u8]) -> bool {
    if header.fragment.is_none_or(|part| part.offset > 0) {
        return false;
    }
    let Some(innermost) = header.innermost(packet) else {
        return true;
    };
    let least = match innermost.protocol {
        protocol::TCP => TCP_HEADER,
        protocol::UDP => UDP_HEADER,
        protocol::ICMPV6 => ICMP_HEADER,
        NO_NEXT_HEADER => 0,
        _ => 1,
    };
    innermost.header_len + least > innermost.total_len
}
