//! How proxy protocols write a destination: kind of address and address; the port stands
//! before them in VLESS and VMess, and behind them in SOCKS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vpnm_wire::{Host, Target};

/// The bytes that stand for the kinds of address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kinds {
    pub(crate) ipv4: u8,
    pub(crate) domain: u8,
    pub(crate) ipv6: u8,
}

/// The kinds of VLESS and VMess.
const V2RAY: Kinds = Kinds {
    ipv4: 1,
    domain: 2,
    ipv6: 3,
};

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

impl Kinds {
    /// Appends `kind u8 | address`.
    pub(crate) fn encode(self, host: &Host, out: &mut Vec<u8>) {
        match host {
            Host::Ip(IpAddr::V4(ip)) => {
                out.push(self.ipv4);
                out.extend(ip.octets());
            }
            Host::Ip(IpAddr::V6(ip)) => {
                out.push(self.ipv6);
                out.extend(ip.octets());
            }
            Host::Domain(name) => {
                let name = name.as_str().as_bytes();
                let length = u8::try_from(name.len());
                out.push(self.domain);
                out.push(length.expect("invariant: a domain has at most 253 bytes"));
                out.extend(name);
            }
        }
    }

    /// Reads `kind u8 | address` and what stands behind it; nothing while it is not complete.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Option<(Host, &[u8])>, AddressError> {
        let Some((&kind, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if kind == self.ipv4 {
            let ip = rest.split_first_chunk::<4>();
            Ok(ip.map(|(ip, rest)| (Host::Ip(Ipv4Addr::from(*ip).into()), rest)))
        } else if kind == self.ipv6 {
            let ip = rest.split_first_chunk::<16>();
            Ok(ip.map(|(ip, rest)| (Host::Ip(Ipv6Addr::from(*ip).into()), rest)))
        } else if kind == self.domain {
            domain(rest)
        } else {
            Err(AddressError::Kind(kind))
        }
    }
}

/// Reads `length u8 | name`. A name that is an address in text form is that address.
fn domain(bytes: &[u8]) -> Result<Option<(Host, &[u8])>, AddressError> {
    let Some((&length, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let Some((name, rest)) = rest.split_at_checked(usize::from(length)) else {
        return Ok(None);
    };
    let name = str::from_utf8(name).map_err(|_| AddressError::Domain)?;
    let host = name.parse().map_err(|_| AddressError::Domain)?;
    Ok(Some((host, rest)))
}

/// Appends `port u16 | kind u8 | address`.
pub(crate) fn encode(target: &Target, out: &mut Vec<u8>) {
    out.extend(target.port.to_be_bytes());
    V2RAY.encode(&target.host, out);
}

/// Reads a destination and how long it is; nothing while it is not complete.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Target, usize)>, AddressError> {
    let Some((port, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let address = V2RAY.decode(rest)?;
    Ok(address.map(|(host, rest)| {
        let port = u16::from_be_bytes(*port);
        (Target { host, port }, bytes.len() - rest.len())
    }))
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
