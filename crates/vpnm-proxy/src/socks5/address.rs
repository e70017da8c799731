//! How SOCKS writes a destination: kind of address, address, port (RFC 1928 section 5).

use vpnm_wire::Target;

use crate::address::Kinds;

/// The kinds of SOCKS.
const KINDS: Kinds = Kinds {
    ipv4: 1,
    domain: 3,
    ipv6: 4,
};

/// Appends `kind u8 | address | port u16`.
pub(super) fn encode(target: &Target, out: &mut Vec<u8>) {
    KINDS.encode(&target.host, out);
    out.extend(target.port.to_be_bytes());
}

/// Bytes of `address | port` after the kind and, for a domain, its length byte.
pub(super) fn length_after(kind: u8, first: u8) -> Option<usize> {
    match kind {
        // The first byte of an address is counted by the caller.
        ipv4 if ipv4 == KINDS.ipv4 => Some(4 + 2 - 1),
        ipv6 if ipv6 == KINDS.ipv6 => Some(16 + 2 - 1),
        domain if domain == KINDS.domain => Some(usize::from(first) + 2),
        _ => None,
    }
}

/// Reads `kind u8 | address | port u16` and what stands behind it; nothing unless the
/// address is complete, of a known kind and, if a name, a domain name.
pub(super) fn decode(bytes: &[u8]) -> Option<(Target, &[u8])> {
    let (host, rest) = KINDS.decode(bytes).ok()??;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    Some((Target { host, port }, rest))
}
