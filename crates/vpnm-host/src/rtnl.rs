//! rtnetlink: links, addresses, routes and rules, each a typed value with its
//! encoding and decoding (include/uapi/linux/rtnetlink.h, if_link.h, fib_rules.h).

mod address;
mod link;
mod link_name;
mod neighbour;
mod route;
mod rule;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use address::Address;
pub use link::{Link, LinkSettings, TunFacts};
pub use link_name::LinkName;
pub use route::{Route, RouteKind};
pub use rule::{Lookup, Rule, Selector};

pub(crate) use address::{add_address, addresses, decode_address, remove_address, temporary};
pub(crate) use link::{decode_link, delete_link, gone_link, links, set_link, set_queue_length};
pub(crate) use neighbour::{decode_neighbour, neighbours, remove_neighbour};
pub(crate) use route::{add_route, decode_route, remove_route, routes, routes_into, ways_out};
pub(crate) use rule::{add_rule, decode_rule, remove_rule, rules};

/// Message kinds of rtnetlink that this crate sends or hears.
pub(crate) mod kind {
    pub(crate) const NEW_LINK: u16 = 16;
    pub(crate) const DEL_LINK: u16 = 17;
    pub(crate) const GET_LINK: u16 = 18;
    pub(crate) const NEW_ADDRESS: u16 = 20;
    pub(crate) const DEL_ADDRESS: u16 = 21;
    pub(crate) const GET_ADDRESS: u16 = 22;
    pub(crate) const NEW_ROUTE: u16 = 24;
    pub(crate) const DEL_ROUTE: u16 = 25;
    pub(crate) const GET_ROUTE: u16 = 26;
    pub(crate) const NEW_NEIGHBOUR: u16 = 28;
    pub(crate) const DEL_NEIGHBOUR: u16 = 29;
    pub(crate) const GET_NEIGHBOUR: u16 = 30;
    pub(crate) const NEW_RULE: u16 = 32;
    /// `RTM_NEWNETCONF`.
    pub(crate) const NEW_SETTING: u16 = 80;
    pub(crate) const DEL_RULE: u16 = 33;
    pub(crate) const GET_RULE: u16 = 34;
}

/// The main route table.
pub(crate) const MAIN_TABLE: u32 = 254;
/// The table of what this host takes for itself.
pub(crate) const LOCAL_TABLE: u32 = 255;

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    pub(crate) fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::BOTH.into_iter().find(|f| f.number() == number)
    }

    /// The prefix that covers everything.
    pub(crate) fn any(self) -> Prefix {
        match self {
            Self::V4 => Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0),
            Self::V6 => Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
        })
    }
}

/// A network prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Its first address.
    pub ip: IpAddr,
    /// Its length in bits, at most 32 or 128.
    pub length: u8,
}

impl Prefix {
    /// A prefix from its first address and its length.
    #[must_use]
    pub const fn new(ip: IpAddr, length: u8) -> Self {
        Self { ip, length }
    }

    /// The prefix of one address alone.
    #[must_use]
    pub fn host(ip: IpAddr) -> Self {
        let length = if ip.is_ipv4() { 32 } else { 128 };
        Self { ip, length }
    }

    /// Whether the prefix covers an address.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.ip, ip) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                let shift = 32_u32.saturating_sub(self.length.into());
                let cut = |ip: Ipv4Addr| ip.to_bits().checked_shr(shift);
                cut(net) == cut(ip)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                let shift = 128_u32.saturating_sub(self.length.into());
                let cut = |ip: Ipv6Addr| ip.to_bits().checked_shr(shift);
                cut(net) == cut(ip)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.ip)
    }

    /// The prefix with all bits behind its length cleared.
    pub(crate) fn network(&self) -> Self {
        let ip = match self.ip {
            IpAddr::V4(ip) => {
                let kept = !u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & kept).into()
            }
            IpAddr::V6(ip) => {
                let kept = !u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & kept).into()
            }
        };
        Self::new(ip, self.length)
    }

    /// Whether every address of the other prefix is one of this.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.ip)
    }

    /// Whether the prefix covers everything.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.length == 0
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("default");
        }
        write!(f, "{}/{}", self.ip, self.length)
    }
}

/// The bytes of an address, as attributes carry them.
pub(crate) fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// The address in an attribute of 4 or 16 bytes.
pub(crate) fn address_from(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_its_addresses_and_no_other() {
        let net = Prefix::new("192.168.0.0".parse().unwrap(), 16);
        assert!(net.contains("192.168.77.1".parse().unwrap()));
        assert!(!net.contains("192.169.0.1".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        assert!(Family::V6.any().contains("2001:db8::1".parse().unwrap()));
        assert!(Family::V4.any().contains("255.0.0.1".parse().unwrap()));
        let inner = Prefix::new("192.168.77.10".parse().unwrap(), 24);
        assert!(net.covers(&inner) && net.covers(&net) && !inner.covers(&net));
        assert_eq!(inner.network().to_string(), "192.168.77.0/24");
        assert_eq!(Family::V6.any().network(), Family::V6.any());
        let host = Prefix::host("fd00::1".parse().unwrap());
        assert!(!host.contains("fd00::2".parse().unwrap()));
    }
}
