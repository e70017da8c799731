//! Neighbours: what the kernel knows of hardware addresses on a link
//! (include/uapi/linux/neighbour.h).

use std::net::IpAddr;

use super::{Family, address_from, kind, octets};
use crate::netlink::{Failure, Message, Request, Writer};

const NDA_DST: u16 = 1;
/// Asked for and not answered, asked for soon, asked again: the kernel repeats what it
/// asks in each of these states by itself (`NUD_INCOMPLETE`, `NUD_DELAY`, `NUD_PROBE`).
const ASKED: u16 = 0x01 | 0x08 | 0x10;

/// A neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Neighbour {
    /// The number of the link it is on.
    pub(crate) link: u32,
    /// Its address.
    pub(crate) ip: IpAddr,
    /// The kernel asks for it, or is about to.
    pub(crate) is_asked_for: bool,
}

/// Asks for all neighbours of both families.
pub(crate) fn neighbours() -> Request {
    Request::dump(kind::GET_NEIGHBOUR, Writer::new(&[0; 12]))
}

/// Has the kernel forget a neighbour, and what it waits to send there.
pub(crate) fn remove_neighbour(neighbour: &Neighbour) -> Request {
    Request::new(kind::DEL_NEIGHBOUR, body(neighbour))
}

/// `struct ndmsg`, and the address.
fn body(neighbour: &Neighbour) -> Writer {
    let Neighbour { link, ip, .. } = neighbour;
    let mut header = vec![Family::of(*ip).number(), 0, 0, 0];
    header.extend_from_slice(&link.to_ne_bytes());
    header.extend_from_slice(&[0; 4]);
    let mut body = Writer::new(&header);
    body.bytes(NDA_DST, &octets(*ip));
    body
}

/// Reads a neighbour from a dump.
pub(crate) fn decode_neighbour(message: &Message<'_>) -> Result<Option<Neighbour>, Failure> {
    if message.kind != kind::NEW_NEIGHBOUR {
        return Ok(None);
    }
    let (header, attributes) = message.body.split::<12>()?;
    let [family, _, _, _, i0, i1, i2, i3, s0, s1, _, _] = header;
    // The tables of bridges are among them, and neighbours without an address.
    let ip = attributes.get(NDA_DST).and_then(address_from);
    let ip = ip.filter(|ip| Family::of(*ip).number() == family);
    Ok(ip.map(|ip| Neighbour {
        link: u32::from_ne_bytes([i0, i1, i2, i3]),
        ip,
        is_asked_for: u16::from_ne_bytes([s0, s1]) & ASKED != 0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    /// A neighbour as a dump shows it.
    fn shown(ip: &str, state: u16) -> Neighbour {
        let neighbour = Neighbour {
            link: 7,
            ip: ip.parse().unwrap(),
            is_asked_for: false,
        };
        let mut bytes = Vec::new();
        Request::new(kind::NEW_NEIGHBOUR, body(&neighbour)).encode(1, &mut bytes);
        // Behind the headers of netlink and of the family and link.
        bytes[24..26].copy_from_slice(&state.to_ne_bytes());
        let list = messages(&bytes).unwrap();
        decode_neighbour(&list[0]).unwrap().unwrap()
    }

    #[test]
    fn who_is_asked_for_is_told_from_who_is_known() {
        for ip in ["192.168.77.9", "fe80::9"] {
            for (state, is_asked_for) in [(0x01, true), (0x02, false), (0x04, false)] {
                let neighbour = shown(ip, state);
                assert_eq!((neighbour.link, neighbour.ip), (7, ip.parse().unwrap()));
                assert_eq!(neighbour.is_asked_for, is_asked_for, "{state:#x}");
            }
            assert!(shown(ip, 0x08).is_asked_for && shown(ip, 0x10).is_asked_for);
            assert!(!shown(ip, 0x20).is_asked_for && !shown(ip, 0x80).is_asked_for);
        }
    }
}
