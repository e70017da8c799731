//! The header of a relayed UDP datagram (RFC 1928 section 7).

use vpnm_wire::{Host, Target};

use super::address;

/// Why a datagram from the relay is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// The relay fragments, which no client has to support.
    #[error("the relay sent a fragment")]
    Fragment,
    /// The header is cut short or of no known form.
    #[error("the header of the relayed datagram is malformed")]
    Malformed,
}

/// Writes the header for `target` and the payload behind it into `out`, which is cleared first.
pub fn encode_datagram(target: &Target, payload: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend([0, 0, 0]);
    address::encode(target, out);
    out.extend(payload);
}

/// Splits a relayed datagram into the address it came from and its payload.
///
/// A relay whose socket serves both families may write an address of IPv4 as one of IPv6
/// (RFC 4291 section 2.5.5.2); it is given as what it is.
///
/// # Errors
/// [`DatagramError`]; the datagram is to be dropped.
pub fn decode_datagram(bytes: &[u8]) -> Result<(Target, &[u8]), DatagramError> {
    let ([_, _, fragment], rest) = bytes
        .split_first_chunk::<3>()
        .ok_or(DatagramError::Malformed)?;
    if *fragment != 0 {
        return Err(DatagramError::Fragment);
    }
    let (mut from, payload) = address::decode(rest).ok_or(DatagramError::Malformed)?;
    if let Host::Ip(ip) = &mut from.host {
        *ip = ip.to_canonical();
    }
    Ok((from, payload))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn a_datagram_is_read_back_as_written() {
        for text in ["192.0.2.1:53", "[2001:db8::1]:443", "example.com:65535"] {
            let target: Target = text.parse().unwrap();
            let mut bytes = vec![9; 3];
            encode_datagram(&target, b"payload", &mut bytes);
            assert_eq!(decode_datagram(&bytes), Ok((target, &b"payload"[..])));
            for short in 0..bytes.len() - b"payload".len() {
                assert_eq!(
                    decode_datagram(&bytes[..short]),
                    Err(DatagramError::Malformed),
                    "{short}"
                );
            }
        }
    }

    #[test]
    fn an_address_in_the_form_of_the_other_family_is_what_it_stands_for() {
        let mut bytes = vec![0, 0, 0, 4];
        bytes.extend("::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend([0, 53, b'!']);
        let from: Target = "192.0.2.1:53".parse().unwrap();
        assert_eq!(decode_datagram(&bytes), Ok((from, &b"!"[..])));
    }

    #[test]
    fn a_fragment_is_refused() {
        assert_eq!(
            decode_datagram(&[0, 0, 1, 1, 1, 2, 3, 4, 0, 5]),
            Err(DatagramError::Fragment)
        );
    }
}
