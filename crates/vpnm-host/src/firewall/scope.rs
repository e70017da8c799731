//! Ports and prefixes that the rules speak of.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::matching::{Key, TCP, UDP};
use crate::rtnl::Prefix;

/// Plain DNS, and DNS over TLS, which a program may fall back to.
pub(super) const DNS: [(u8, u16); 2] = [(TCP, 53), (UDP, 53)];
pub(super) const NAME_QUERIES: [(u8, u16); 4] = [(TCP, 53), (UDP, 53), (TCP, 853), (UDP, 853)];
/// Names asked of everybody on the link: mDNS, LLMNR, NetBIOS.
pub(super) const NAME_BROADCASTS: [(u8, u16); 5] = [
    (UDP, 5353),
    (UDP, 5355),
    (TCP, 5355),
    (UDP, 137),
    (UDP, 138),
];
pub(super) const TO_PORT: &[Key] = &[Key::Protocol, Key::DestinationPort];

pub(crate) const LINK_LOCAL_6: Prefix =
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10);
pub(super) const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
pub(super) const ALL_DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// Private unicast prefixes, reached directly when the local network is allowed.
pub(crate) const LAN_PREFIXES: [Prefix; 5] = [
    Prefix::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)), 12),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)), 16),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)), 7),
];

/// Multicast and broadcast that stays on the link or the site.
pub(crate) const LAN_GROUPS: [Prefix; 5] = [
    Prefix::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 24),
    Prefix::new(IpAddr::V4(Ipv4Addr::new(239, 0, 0, 0)), 8),
    Prefix::new(IpAddr::V4(Ipv4Addr::BROADCAST), 32),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0)), 16),
    Prefix::new(IpAddr::V6(Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0)), 16),
];
