//! Network interfaces.

use std::fmt;

use super::kind;
use crate::netlink::{Attributes, Body, Failure, Message, Request, Writer, link_name};

const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_TUN_OWNER: u16 = 1;
const IFLA_TUN_PERSIST: u16 = 6;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;

const AF_INET6: u16 = 10;
const IFF_UP: u32 = 1;
/// The cable is in, or the radio has joined a network.
const IFF_LOWER_UP: u32 = 0x1_0000;
/// The link makes no link-local address for itself (IN6_ADDR_GEN_MODE_NONE).
const NO_OWN_ADDRESS: u8 = 1;

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name; a byte that is no text is a slash and two hexadecimal digits.
    pub name: String,
    /// Names that it may be called by as well, of any length.
    pub other_names: Vec<String>,
    /// What made it (`tun`, `veth`, `bridge`); empty for hardware.
    pub kind: String,
    /// The number of the bridge or bond it belongs to.
    pub master: Option<u32>,
    /// Whether there is somebody at the other end: a cable that is in, a network joined.
    pub carrier: bool,
    /// Whether its other end, or what it stands on, is in another network namespace.
    pub leads_elsewhere: bool,
    /// What we set on ours.
    pub settings: LinkSettings,
    /// Facts of a tunnel device.
    pub tun: Option<TunFacts>,
}

/// What is set on the tunnel link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkSettings {
    /// Largest packet, in bytes.
    pub mtu: u32,
    /// Packets the queue holds.
    pub queue_length: u32,
    /// Whether the link is up.
    pub up: bool,
    /// Whether the link makes an IPv6 link-local address for itself; `None` when
    /// IPv6 is off.
    pub own_address: Option<bool>,
}

/// What a tunnel device says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunFacts {
    /// The uid that may attach to it.
    pub owner: Option<u32>,
    /// Whether it outlives the processes that have it open.
    pub persistent: bool,
}

impl fmt::Display for LinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.up { "up" } else { "down" };
        write!(f, "mtu {} qlen {} {state}", self.mtu, self.queue_length)?;
        match self.own_address {
            Some(true) => f.write_str(" addrgen on"),
            Some(false) => f.write_str(" addrgen none"),
            None => Ok(()),
        }
    }
}

/// Asks for all links.
pub(crate) fn links() -> Request {
    Request::dump(kind::GET_LINK, Writer::new(&[0; 16]))
}

/// Sets up a link that exists. The messages are to be sent in this order: a link
/// makes itself an address the moment it goes up, unless it was told not to.
pub(crate) fn set_link(index: u32, settings: &LinkSettings) -> [Request; 2] {
    let mut properties = Writer::new(&header(index, 0, 0));
    properties.native(IFLA_MTU, settings.mtu);
    properties.native(IFLA_TXQLEN, settings.queue_length);
    if let Some(own_address) = settings.own_address {
        let mode = if own_address { 0 } else { NO_OWN_ADDRESS };
        properties.nested(IFLA_AF_SPEC, |spec| {
            spec.nested(AF_INET6, |inet6| {
                inet6.bytes(IFLA_INET6_ADDR_GEN_MODE, &[mode]);
            });
        });
    }
    let flags = if settings.up { IFF_UP } else { 0 };
    let state = Writer::new(&header(index, flags, IFF_UP));
    [properties, state].map(|body| Request::new(kind::NEW_LINK, body))
}

/// Sets how many packets a link's queue holds.
pub(crate) fn set_queue_length(index: u32, packets: u32) -> Request {
    let mut properties = Writer::new(&header(index, 0, 0));
    properties.native(IFLA_TXQLEN, packets);
    Request::new(kind::NEW_LINK, properties)
}

/// `struct ifinfomsg`: the link, its flags, and which of them are to change.
fn header(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    let fields = [index, flags, change].map(u32::to_ne_bytes).concat();
    for (to, from) in header.iter_mut().skip(4).zip(fields) {
        *to = from;
    }
    header
}

/// Removes a link.
pub(crate) fn delete_link(index: u32) -> Request {
    Request::new(kind::DEL_LINK, Writer::new(&header(index, 0, 0)))
}

/// Reads a link from a dump or an event.
pub(crate) fn decode_link(message: &Message<'_>) -> Result<Option<Link>, Failure> {
    if message.kind != kind::NEW_LINK {
        return Ok(None);
    }
    decode(&message.body).map(Some)
}

/// The number of a link that went.
pub(crate) fn gone_link(message: &Message<'_>) -> Result<Option<u32>, Failure> {
    if message.kind != kind::DEL_LINK {
        return Ok(None);
    }
    let (header, _) = message.body.split::<16>()?;
    let [_, _, _, _, i0, i1, i2, i3, ..] = header;
    Ok(Some(u32::from_ne_bytes([i0, i1, i2, i3])))
}

fn decode(body: &Body<'_>) -> Result<Link, Failure> {
    let (header, attributes) = body.split::<16>()?;
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = header;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let info = attributes.nested(IFLA_LINKINFO)?;
    let kind = info.as_ref().and_then(|info| info.text(IFLA_INFO_KIND));
    let kind = kind.unwrap_or_default();
    let tun = match &info {
        Some(info) if kind == "tun" => info.nested(IFLA_INFO_DATA)?.map(|data| tun_facts(&data)),
        _ => None,
    };
    Ok(Link {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        name: attributes
            .link_name(IFLA_IFNAME)
            .ok_or(Failure::Malformed)?,
        other_names: other_names(&attributes)?,
        kind,
        master: attributes.native(IFLA_MASTER),
        carrier: flags & IFF_LOWER_UP != 0,
        leads_elsewhere: attributes.get(IFLA_LINK_NETNSID).is_some(),
        settings: LinkSettings {
            mtu: attributes.native(IFLA_MTU).unwrap_or_default(),
            queue_length: attributes.native(IFLA_TXQLEN).unwrap_or_default(),
            up: flags & IFF_UP != 0,
            own_address: own_address(&attributes)?,
        },
        tun,
    })
}

fn other_names(attributes: &Attributes<'_>) -> Result<Vec<String>, Failure> {
    let Some(properties) = attributes.nested(IFLA_PROP_LIST)? else {
        return Ok(Vec::new());
    };
    let names = properties.iter();
    let names = names.filter(|(property, _)| *property == IFLA_ALT_IFNAME);
    Ok(names.map(|(_, name)| link_name(name)).collect())
}

fn tun_facts(data: &Attributes<'_>) -> TunFacts {
    TunFacts {
        owner: data.native(IFLA_TUN_OWNER),
        persistent: data.byte(IFLA_TUN_PERSIST) == Some(1),
    }
}

fn own_address(attributes: &Attributes<'_>) -> Result<Option<bool>, Failure> {
    let Some(spec) = attributes.nested(IFLA_AF_SPEC)? else {
        return Ok(None);
    };
    let inet6 = spec.nested(AF_INET6)?;
    let mode = inet6.and_then(|inet6| inet6.byte(IFLA_INET6_ADDR_GEN_MODE));
    Ok(mode.map(|mode| mode != NO_OWN_ADDRESS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    /// A link as the kernel dumps it, made from what `set_link` sends plus a name.
    #[test]
    fn what_is_set_is_what_is_read() {
        let settings = LinkSettings {
            mtu: 1500,
            queue_length: 4096,
            up: true,
            own_address: Some(false),
        };
        let [properties, state] = set_link(7, &settings);
        let mut bytes = Vec::new();
        properties.encode(1, &mut bytes);
        let attributes = bytes.split_off(32);
        state.encode(2, &mut bytes);
        let header = bytes.split_off(32 + 16);
        let mut body = Writer::new(&[header, attributes].concat());
        body.text(IFLA_IFNAME, "vpnm0");
        body.nested(IFLA_PROP_LIST, |properties| {
            properties.text(IFLA_ALT_IFNAME, "tunnel");
            properties.text(IFLA_ALT_IFNAME, "a-name-of-more-than-15-bytes");
        });
        body.nested(IFLA_LINKINFO, |info| {
            info.text(IFLA_INFO_KIND, "tun");
            info.nested(IFLA_INFO_DATA, |data| data.native(IFLA_TUN_OWNER, 990));
        });
        let mut bytes = Vec::new();
        Request::new(kind::NEW_LINK, body).encode(1, &mut bytes);
        let list = messages(&bytes).unwrap();
        let link = decode_link(&list[0]).unwrap().unwrap();
        assert_eq!((link.index, link.name.as_str()), (7, "vpnm0"));
        let others = ["tunnel", "a-name-of-more-than-15-bytes"];
        assert_eq!(link.other_names, others);
        assert!(!link.carrier, "nobody said so");
        assert_eq!(link.settings, settings);
        let facts = TunFacts {
            owner: Some(990),
            persistent: false,
        };
        assert_eq!(link.tun, Some(facts));
    }
}
