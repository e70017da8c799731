//! The map of the world: who has which address and name.
//!
//! ```text
//!  client ── lan0 ┌────────┐ wan0 ── internet   (site, resolvers, every other address)
//!   eth0          │ router │
//!                 └────────┘ node0 ── node      (the proxy server)
//! ```
//! Prefixes are those set aside for documentation (RFC 5737, RFC 3849) and one
//! private LAN (RFC 1918); the resolvers have their well-known addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv4 and an IPv6 address of one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Pair {
    const fn new(v4: [u8; 4], v6: [u16; 8]) -> Self {
        let [a, b, c, d] = v4;
        let [s, t, u, v, w, x, y, z] = v6;
        Self {
            v4: Ipv4Addr::new(a, b, c, d),
            v6: Ipv6Addr::new(s, t, u, v, w, x, y, z),
        }
    }

    /// Both addresses, IPv4 first.
    #[must_use]
    pub fn both(self) -> [IpAddr; 2] {
        [IpAddr::V4(self.v4), IpAddr::V6(self.v6)]
    }
}

/// Prefix length of every IPv4 network of the world.
pub const PREFIX_V4: u8 = 24;
/// Prefix length of every IPv6 network of the world.
pub const PREFIX_V6: u8 = 64;

/// The client on its LAN.
pub const CLIENT: Pair = Pair::new([192, 168, 77, 2], [0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 2]);
/// The router on the client's LAN: gateway, and the plaintext resolver DHCP would name.
pub const GATEWAY: Pair = Pair::new([192, 168, 77, 1], [0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 1]);
/// The router's additional link-local address: a resolver learnt from router advertisements.
pub const GATEWAY_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Another device on the client's LAN (a second address of the router's interface).
pub const NEIGHBOUR: Pair = Pair::new([192, 168, 77, 9], [0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 9]);

/// A container of the client's.
pub const CONTAINER: Pair = Pair::new([172, 18, 0, 2], [0xfd00, 0x18, 0, 0, 0, 0, 0, 2]);
/// The client, as its containers see it.
pub const CONTAINER_GATEWAY: Pair = Pair::new([172, 18, 0, 1], [0xfd00, 0x18, 0, 0, 0, 0, 0, 1]);

/// The router towards the internet.
pub const WAN: Pair = Pair::new([198, 51, 100, 1], [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 1]);
/// The internet's own address on that link.
pub const INTERNET: Pair = Pair::new([198, 51, 100, 2], [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 2]);
/// The web site, also echo, source and sink.
pub const SITE: Pair = Pair::new([198, 51, 100, 80], [0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0x80]);

/// The router towards the node.
pub const NODE_GATEWAY: Pair = Pair::new([203, 0, 113, 1], [0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 1]);
/// The proxy server.
pub const NODE: Pair = Pair::new([203, 0, 113, 10], [0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x10]);
/// A second address of the proxy server, to switch to.
pub const NODE_SECOND: Pair =
    Pair::new([203, 0, 113, 20], [0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0x20]);

/// Cloudflare's resolver, first address.
pub const CLOUDFLARE: Pair = Pair::new([1, 1, 1, 1], [0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111]);
/// Cloudflare's resolver, second address.
pub const CLOUDFLARE_SECOND: Pair =
    Pair::new([1, 0, 0, 1], [0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1001]);
/// Quad9's resolver, first address.
pub const QUAD9: Pair = Pair::new([9, 9, 9, 9], [0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe]);
/// Quad9's resolver, second address.
pub const QUAD9_SECOND: Pair = Pair::new([149, 112, 112, 112], [0x2620, 0xfe, 0, 0, 0, 0, 0, 9]);
/// A public resolver that speaks plaintext only (bait for leaks).
pub const PLAIN_RESOLVER: Pair =
    Pair::new([8, 8, 8, 8], [0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888]);

/// Every resolver's address that lives in the internet namespace.
pub const RESOLVERS: [Pair; 5] = [
    CLOUDFLARE,
    CLOUDFLARE_SECOND,
    QUAD9,
    QUAD9_SECOND,
    PLAIN_RESOLVER,
];

/// Name of the web site.
pub const SITE_NAME: &str = "site.example";
/// Name of the web site with an IPv4 address only.
pub const SITE_V4_NAME: &str = "v4.site.example";
/// Name of the web site with an IPv6 address only.
pub const SITE_V6_NAME: &str = "v6.site.example";
/// Name of the proxy server.
pub const NODE_NAME: &str = "node.example";
/// A name whose texts are more than a datagram carries.
pub const LARGE_NAME: &str = "large.example";
/// A name whose addresses are signed, for who asks for signatures.
pub const SIGNED_NAME: &str = "signed.example";
/// Name of the device on the client's LAN, which the router's resolver alone knows.
pub const NEIGHBOUR_NAME: &str = "nas.lan";
/// Another name of it, in a domain of the LAN's owner.
pub const NEIGHBOUR_OWN_NAME: &str = "wiki.corp.example";
/// Name of Cloudflare's resolver.
pub const CLOUDFLARE_NAME: &str = "cloudflare-dns.com";
/// Name of Quad9's resolver.
pub const QUAD9_NAME: &str = "dns.quad9.net";

/// The client's interface.
pub const CLIENT_LINK: &str = "eth0";
/// The router's interface on the client's LAN: where the capture listens.
pub const LAN_LINK: &str = "lan0";
/// The router's interface towards the internet.
pub const WAN_LINK: &str = "wan0";
/// The router's interface towards the node.
pub const NODE_LINK: &str = "node0";

/// Hardware address of the client.
pub const CLIENT_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x77, 0x02];
/// Hardware address of the router on the LAN.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0x77, 0x01];

/// What the router's resolver knows besides.
#[must_use]
pub fn local_zone() -> Vec<(&'static str, Vec<IpAddr>)> {
    let neighbour = |name| (name, NEIGHBOUR.both().to_vec());
    vec![neighbour(NEIGHBOUR_NAME), neighbour(NEIGHBOUR_OWN_NAME)]
}

/// Everything the world's resolvers know: name and addresses.
#[must_use]
pub fn zone() -> Vec<(&'static str, Vec<IpAddr>)> {
    vec![
        (SITE_NAME, SITE.both().to_vec()),
        (SITE_V4_NAME, vec![IpAddr::V4(SITE.v4)]),
        (SITE_V6_NAME, vec![IpAddr::V6(SITE.v6)]),
        (NODE_NAME, NODE.both().to_vec()),
        (
            CLOUDFLARE_NAME,
            [CLOUDFLARE.both(), CLOUDFLARE_SECOND.both()].concat(),
        ),
        (QUAD9_NAME, [QUAD9.both(), QUAD9_SECOND.both()].concat()),
        ("example.com", SITE.both().to_vec()),
        (LARGE_NAME, SITE.both().to_vec()),
        (SIGNED_NAME, SITE.both().to_vec()),
    ]
}
