//! How VLESS and VMess write a destination: port, kind of address, address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpnm_wire::{Host, Target};

const IPV4: u8 = 1;
const DOMAIN: u8 = 2;
const IPV6: u8 = 3;

/// Why bytes are no destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The kind of address is none of IPv4, domain and IPv6.
    #[error("the kind of address {0} is unknown")]
    Kind(u8),
    /// The domain is no domain name.
    #[error("the domain is no domain name")]
    Domain,
}

/// Appends `port u16 | kind u8 | address`.
pub(crate) fn encode(target: &Target, out: &mut Vec<u8>) {
    out.extend(target.port.to_be_bytes());
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
}

/// Reads a destination and how long it is; nothing while it is not complete.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Target, usize)>, AddressError> {
    let Some((port, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let Some((&kind, rest)) = rest.split_first() else {
        return Ok(None);
    };
    let address = match kind {
        IPV4 => rest
            .first_chunk::<4>()
            .map(|ip| (Host::Ip(Ipv4Addr::from(*ip).into()), 4)),
        IPV6 => rest
            .first_chunk::<16>()
            .map(|ip| (Host::Ip(Ipv6Addr::from(*ip).into()), 16)),
        DOMAIN => domain(rest)?,
        other => return Err(AddressError::Kind(other)),
    };
    Ok(address.map(|(host, length)| {
        let port = u16::from_be_bytes(*port);
        (Target { host, port }, 3 + length)
    }))
}

/// Reads `length u8 | name`. A name that is an address in text form is that address.
fn domain(bytes: &[u8]) -> Result<Option<(Host, usize)>, AddressError> {
    let Some((&length, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let length = usize::from(length);
    let Some(name) = rest.get(..length) else {
        return Ok(None);
    };
    let name = str::from_utf8(name).map_err(|_| AddressError::Domain)?;
    let host = name.parse().map_err(|_| AddressError::Domain)?;
    Ok(Some((host, 1 + length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_read_back_as_written() {
        for text in ["192.0.2.1:53", "[2001:db8::1]:443", "example.com:65535"] {
            let target: Target = text.parse().unwrap();
            let mut bytes = Vec::new();
            encode(&target, &mut bytes);
            for short in 0..bytes.len() {
                assert_eq!(decode(&bytes[..short]), Ok(None), "{text} cut at {short}");
            }
            let length = bytes.len();
            bytes.push(0);
            assert_eq!(decode(&bytes), Ok(Some((target, length))), "{text}");
        }
    }

    #[test]
    fn what_is_no_destination_says_why() {
        assert_eq!(decode(&[0, 80, 4]), Err(AddressError::Kind(4)));
        assert_eq!(decode(&[0, 80, 2, 0]), Err(AddressError::Domain));
        assert_eq!(decode(&[0, 80, 2, 1, 0xff]), Err(AddressError::Domain));
    }
}
