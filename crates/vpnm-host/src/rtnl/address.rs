//! Addresses of interfaces.

use std::fmt;

use super::{Family, Prefix, address_from, kind, octets};
use crate::netlink::{Failure, Message, Request, Writer};

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// No duplicate address detection: nobody else is on a tunnel link.
const IFA_F_NODAD: u32 = 0x02;

/// It stays until somebody takes it: not from DHCP or a router's advertisement, which
/// give addresses for a time.
const IFA_F_PERMANENT: u8 = 0x80;

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The interface's number.
    pub link: u32,
    /// The address and the length of its prefix on the link.
    pub prefix: Prefix,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "address {}", self.prefix)
    }
}

/// Asks for all addresses of both families.
pub(crate) fn addresses() -> Request {
    Request::dump(kind::GET_ADDRESS, Writer::new(&[0; 8]))
}

/// Gives an address to a link.
pub(crate) fn add_address(address: &Address) -> Request {
    Request::create(kind::NEW_ADDRESS, body(address))
}

/// Takes an address from a link.
pub(crate) fn remove_address(address: &Address) -> Request {
    Request::new(kind::DEL_ADDRESS, body(address))
}

fn body(address: &Address) -> Writer {
    let Address { link, prefix } = address;
    let mut header = vec![prefix.family().number(), prefix.length, 0, 0];
    header.extend_from_slice(&link.to_ne_bytes());
    let mut body = Writer::new(&header);
    body.bytes(IFA_LOCAL, &octets(prefix.ip));
    body.bytes(IFA_ADDRESS, &octets(prefix.ip));
    if prefix.family() == Family::V6 {
        body.native(IFA_FLAGS, IFA_F_NODAD);
    }
    body
}

/// The link that has an address for a time only: somebody on it gives addresses.
pub(crate) fn temporary(message: &Message<'_>) -> Result<Option<u32>, Failure> {
    let Some(address) = decode_address(message)? else {
        return Ok(None);
    };
    let (header, _) = message.body.split::<8>()?;
    let [_, _, flags, ..] = header;
    Ok((flags & IFA_F_PERMANENT == 0).then_some(address.link))
}

/// Reads an address from a dump or an event.
pub(crate) fn decode_address(message: &Message<'_>) -> Result<Option<Address>, Failure> {
    if message.kind != kind::NEW_ADDRESS {
        return Ok(None);
    }
    let (header, attributes) = message.body.split::<8>()?;
    let [family, length, _, _, i0, i1, i2, i3] = header;
    if Family::from_number(family).is_none() {
        return Ok(None);
    }
    // On a point-to-point link IFA_ADDRESS is the other end.
    let own = attributes.get(IFA_LOCAL);
    let ip = own.or_else(|| attributes.get(IFA_ADDRESS));
    let ip = ip.and_then(address_from).ok_or(Failure::Malformed)?;
    Ok(Some(Address {
        link: u32::from_ne_bytes([i0, i1, i2, i3]),
        prefix: Prefix::new(ip, length),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    #[test]
    fn an_address_is_read_back_as_written() {
        for text in ["198.18.76.70", "fd76:706e:6d30::1"] {
            let address = Address {
                link: 9,
                prefix: Prefix::host(text.parse().unwrap()),
            };
            let mut bytes = Vec::new();
            add_address(&address).encode(1, &mut bytes);
            let list = messages(&bytes).unwrap();
            assert_eq!(decode_address(&list[0]).unwrap(), Some(address));
        }
    }
}
