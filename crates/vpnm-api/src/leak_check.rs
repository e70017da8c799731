//! Where attempts of the leak check go: the daemon makes them, the data plane knows
//! them again and carries them nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// The network of attempts over IPv4, TEST-NET-1 (RFC 5737): its first three bytes.
pub const NETWORK_4: [u8; 3] = [192, 0, 2];
/// The network of attempts over IPv6, of length 120, from the prefix for
/// documentation (RFC 3849).
pub const NETWORK_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x7670, 0, 0, 0, 0, 0);
/// The ports of attempts that are no queries, one for each check. No other traffic to
/// these networks is meant.
pub const PORTS: RangeInclusive<u16> = 61_000..=61_999;

/// Where attempt `number` of a check goes.
#[must_use]
pub fn destination(number: u8, v6: bool) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(NETWORK_6.to_bits() | u128::from(number)).into()
    } else {
        let [a, b, c] = NETWORK_4;
        Ipv4Addr::new(a, b, c, number).into()
    }
}

/// The number of the attempt that goes there, if one does.
#[must_use]
pub fn number(ip: IpAddr) -> Option<u8> {
    let number = match ip {
        IpAddr::V4(ip) => ip.octets().last().copied(),
        IpAddr::V6(ip) => ip.octets().last().copied(),
    }?;
    (destination(number, ip.is_ipv6()) == ip).then_some(number)
}

/// Whether a destination is that of an attempt, and so of nothing beyond this machine.
#[must_use]
pub fn is_attempt(to: SocketAddr) -> bool {
    PORTS.contains(&to.port()) && number(to.ip()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_known_again_and_nothing_else_is() {
        for v6 in [false, true] {
            for expected in 0..=255 {
                assert_eq!(number(destination(expected, v6)), Some(expected));
            }
            let to = destination(7, v6);
            assert!(is_attempt((to, 61_000).into()) && is_attempt((to, 61_999).into()));
            for port in [53, 443, 60_999, 62_000] {
                assert!(!is_attempt((to, port).into()), "{port}");
            }
        }
        for other in [
            "192.0.3.7",
            "198.51.100.80",
            "2001:db8:100::80",
            "2001:db8:7670::1:7",
        ] {
            assert!(
                !is_attempt((other.parse::<IpAddr>().unwrap(), 61_000).into()),
                "{other}"
            );
        }
    }
}
