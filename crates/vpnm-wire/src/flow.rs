//! Two endpoints of a flow as a key of tables.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Source and destination of a flow's packets, cheap to hash and compare.
///
/// IPv4 addresses are kept in their IPv6-mapped form, which no wire carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    source: Wide,
    destination: Wide,
    source_port: u16,
    destination_port: u16,
}

/// The halves of an address of 128 bits, whose alignment would pad every key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Wide(u64, u64);

impl FlowKey {
    /// The flow from `source` to `destination`.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self::from_parts(
            source.ip(),
            source.port(),
            destination.ip(),
            destination.port(),
        )
    }

    /// The flow between these addresses and ports.
    #[must_use]
    pub fn from_parts(
        source: IpAddr,
        source_port: u16,
        destination: IpAddr,
        destination_port: u16,
    ) -> Self {
        Self {
            source: Wide::of(source),
            destination: Wide::of(destination),
            source_port,
            destination_port,
        }
    }

    /// Who sends.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        SocketAddr::new(self.source.narrow(), self.source_port)
    }

    /// To whom.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        SocketAddr::new(self.destination.narrow(), self.destination_port)
    }

    /// The same flow seen from the other side.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

impl Wide {
    fn of(address: IpAddr) -> Self {
        let octets = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        let half = |at: usize| {
            let half = octets.get(at..).and_then(|half| half.first_chunk());
            half.map_or(0, |half| u64::from_be_bytes(*half))
        };
        Self(half(0), half(8))
    }

    fn narrow(self) -> IpAddr {
        let bits = u128::from(self.0) << 64 | u128::from(self.1);
        Ipv6Addr::from_bits(bits).to_canonical()
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.source(), self.destination())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_out_as_they_went_in() {
        for (a, b) in [
            ("192.0.2.1:1", "192.0.2.2:2"),
            ("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ] {
            let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
            let key = FlowKey::new(a, b);
            assert_eq!((key.source(), key.destination()), (a, b));
            assert_eq!(key.reversed(), FlowKey::new(b, a));
        }
    }

    #[test]
    fn a_key_is_hardly_longer_than_what_it_says() {
        assert_eq!(size_of::<FlowKey>(), 40);
    }
}
