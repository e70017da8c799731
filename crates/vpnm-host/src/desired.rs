//! What the host must look like.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The state the host must be brought to: filter, rules, routes and link at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Desired {
    /// As it was before us: nothing of ours is left.
    Open,
    /// Nothing leaves but the engine's own connections to `Guard::endpoints` and
    /// what a link needs to exist (ARP, neighbour discovery, DHCP). Programs are
    /// refused at once.
    Blocked(Guard),
    /// As `Blocked`, and everything of every program goes into the tunnel link.
    Tunnel(Guard, Tunnel),
}

/// Who may pass the block, and to where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// The uid of the engine: only its packets follow the ordinary routes.
    pub engine: u32,
    /// The only destinations reachable outside the tunnel; order and repetition
    /// have no meaning.
    pub endpoints: Vec<Endpoint>,
    /// Whether the local network stays reachable.
    pub lan: Lan,
    /// Where packets of containers and of hosts behind this one go.
    pub forwarding: Forwarding,
    /// The interfaces whose hosts are led into the tunnel as containers are; one by
    /// which this host leaves its own networks is never served.
    pub serve: Vec<String>,
    /// The interfaces whose neighbours, the hosts on the networks of this host's own
    /// addresses there, are led into the tunnel although this host goes out that way too.
    pub serve_uplink: Vec<String>,
}

/// One destination outside the tunnel, for the sockets of one uid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The uid that created the socket.
    pub uid: u32,
    /// The address to reach.
    pub ip: IpAddr,
    /// The protocol.
    pub transport: Transport,
    /// The port to reach.
    pub port: u16,
}

/// The protocol of an [`Endpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Whether private and link-local destinations are reached directly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lan {
    /// They are blocked, or carried by the tunnel.
    #[default]
    Blocked,
    /// Private prefixes with a route of their own, link-local and local multicast
    /// are reached directly; name resolution (port 53, 853, mDNS, LLMNR, NetBIOS)
    /// still is not.
    Allowed,
}

/// Where packets go that this host forwards for others: containers, virtual
/// machines, and hosts behind it. Never out beside the tunnel, except to the local
/// network where that is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Forwarding {
    /// Into the tunnel while there is one; they are refused otherwise.
    #[default]
    Tunnel,
    /// They are refused.
    Blocked,
}

/// The way into the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tunnel {
    /// The addresses of the tunnel link; take them from
    /// [`Observed::tunnel_addresses`](crate::Observed::tunnel_addresses).
    pub addresses: Addresses,
    /// The port on 127.0.0.1 and `::1` (UDP and TCP) where DNS queries are
    /// answered that cannot be routed into the link because their socket is tied
    /// to another interface.
    pub dns_port: u16,
}

/// The addresses of the tunnel link, each a host prefix (/32, /128).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// From 198.18.0.0/15 (RFC 2544) or a private range where that is taken.
    pub v4: Ipv4Addr,
    /// From a unique local prefix (RFC 4193).
    pub v6: Ipv6Addr,
}

impl Desired {
    /// The guard, unless the host is open.
    #[must_use]
    pub fn guard(&self) -> Option<&Guard> {
        match self {
            Self::Open => None,
            Self::Blocked(guard) | Self::Tunnel(guard, _) => Some(guard),
        }
    }

    /// Whether the tunnel carries what this host forwards.
    pub(crate) fn tunnels_for_others(&self) -> bool {
        matches!(self, Self::Tunnel(guard, _) if guard.forwarding == Forwarding::Tunnel)
    }

    /// The tunnel, when there is one.
    #[must_use]
    pub fn tunnel(&self) -> Option<&Tunnel> {
        match self {
            Self::Open | Self::Blocked(_) => None,
            Self::Tunnel(_, tunnel) => Some(tunnel),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            uid,
            ip,
            transport,
            port,
        } = self;
        write!(f, "uid {uid} {transport} {ip} port {port}")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
