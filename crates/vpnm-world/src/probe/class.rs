//! The classes of probes: the ways out that every scenario is tried with.

use std::fmt;

/// A class of probes; its kinds are fired in turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// UDP to public addresses.
    Udp,
    /// UDP over IPv6 to public addresses.
    Udp6,
    /// TCP to public addresses.
    Tcp,
    /// Echo requests.
    Icmp,
    /// DNS over UDP to public resolvers.
    DnsUdp,
    /// DNS over UDP to resolvers of the LAN and of the machine.
    DnsLanUdp,
    /// DNS over TCP to a public resolver.
    DnsTcp,
    /// DNS over TCP to the LAN's resolver.
    DnsLanTcp,
    /// To the server's address, another port.
    ServerOtherPort,
    /// To the server's address and port, but not by the engine.
    ServerSamePort,
    /// From sockets tied to the interface (`SO_BINDTODEVICE`).
    Device,
    /// From sockets that ask for the interface or its address.
    Source,
    /// Multicast, broadcast and group membership.
    Multicast,
    /// To other devices of the LAN.
    Lan,
    /// Whole frames from packet sockets of root.
    Packet,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Udp,
        Self::Udp6,
        Self::Tcp,
        Self::Icmp,
        Self::DnsUdp,
        Self::DnsLanUdp,
        Self::DnsTcp,
        Self::DnsLanTcp,
        Self::ServerOtherPort,
        Self::ServerSamePort,
        Self::Device,
        Self::Source,
        Self::Multicast,
        Self::Lan,
        Self::Packet,
    ];

    /// A short name, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
            Self::Tcp => "tcp",
            Self::Icmp => "icmp",
            Self::DnsUdp => "dns/udp",
            Self::DnsLanUdp => "dns/udp lan",
            Self::DnsTcp => "dns/tcp",
            Self::DnsLanTcp => "dns/tcp lan",
            Self::ServerOtherPort => "server other port",
            Self::ServerSamePort => "server same port",
            Self::Device => "bound to device",
            Self::Source => "bound to source",
            Self::Multicast => "multicast",
            Self::Lan => "lan",
            Self::Packet => "af_packet",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}
