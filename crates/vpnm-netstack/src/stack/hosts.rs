//! Whose packets are looked at.

use std::net::IpAddr;

use vpnm_wire::IpHeader;

/// Whether a packet is of one host to another.
pub(super) fn is_between_hosts(header: &IpHeader) -> bool {
    is_host(header.source) && is_host(header.destination) && header.source != header.destination
}

/// Whether an address is of one host that could be elsewhere.
fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_broadcast()
                && !address.is_loopback()
        }
        IpAddr::V6(address) => {
            !address.is_unspecified() && !address.is_multicast() && !address.is_loopback()
        }
    }
}
