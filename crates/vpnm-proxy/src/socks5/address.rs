//! How SOCKS writes a destination: kind of address, address, port (RFC 1928 section 5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpnm_wire::{Host, Target};

pub(super) const IPV4: u8 = 1;
pub(super) const DOMAIN: u8 = 3;
pub(super) const IPV6: u8 = 4;

/// Appends `kind u8 | address | port u16`.
pub(super) fn encode(target: &Target, out: &mut Vec<u8>) {
    match &target.host {
        Host::Ip(IpAddr::V4(ip)) => {
            out.push(IPV4);
            out.extend(ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            out.push(IPV6);
            out.extend(ip.octets());
        }
        Host::Domain(name) => {
            let name = name.as_str().as_bytes();
            let length = u8::try_from(name.len());
            out.push(DOMAIN);
            out.push(length.expect("invariant: a domain has at most 253 bytes"));
            out.extend(name);
        }
    }
    out.extend(target.port.to_be_bytes());
}

/// Bytes of `address | port` after the kind and, for a domain, its length byte.
pub(super) fn length_after(kind: u8, first: u8) -> Option<usize> {
    match kind {
        // The first byte of an address is counted by the caller.
        IPV4 => Some(4 + 2 - 1),
        IPV6 => Some(16 + 2 - 1),
        DOMAIN => Some(usize::from(first) + 2),
        _ => None,
    }
}

/// Reads `kind u8 | address | port u16` and what stands behind it; nothing unless the
/// address is complete, of a known kind and, if a name, a domain name.
pub(super) fn decode(bytes: &[u8]) -> Option<(Target, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let (host, rest) = match kind {
        IPV4 => rest
            .split_first_chunk::<4>()
            .map(|(ip, rest)| (Host::Ip(Ipv4Addr::from(*ip).into()), rest))?,
        IPV6 => rest
            .split_first_chunk::<16>()
            .map(|(ip, rest)| (Host::Ip(Ipv6Addr::from(*ip).into()), rest))?,
        DOMAIN => {
            let (&length, rest) = rest.split_first()?;
            let (name, rest) = rest.split_at_checked(usize::from(length))?;
            (str::from_utf8(name).ok()?.parse().ok()?, rest)
        }
        _ => return None,
    };
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    Some((Target { host, port }, rest))
}
