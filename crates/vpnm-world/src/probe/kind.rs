//! The ways in which a program may try to reach the network.

use std::fmt;

use super::class::Class;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// UDP to a public address.
    Udp,
    /// UDP over IPv6 to a public address.
    Udp6,
    /// A UDP datagram that needs fragments.
    LargeUdp,
    /// TCP to a public address.
    Tcp,
    /// TCP over IPv6 to a public address.
    Tcp6,
    /// Echo request to a public address.
    Icmp,
    /// Echo request over IPv6 to a public address.
    Icmp6,
    /// DNS over UDP to a public resolver.
    DnsUdp,
    /// DNS over TCP to a public resolver.
    DnsTcp,
    /// DNS over UDP and IPv6 to a public resolver.
    Dns6Udp,
    /// DNS over UDP to the LAN's resolver.
    DnsLanUdp,
    /// DNS over TCP to the LAN's resolver.
    DnsLanTcp,
    /// DNS over UDP to the LAN's IPv6 resolver.
    Dns6LanUdp,
    /// DNS over UDP to the router's link-local address.
    DnsLinkLocal,
    /// DNS to a stub resolver on the loopback interface.
    DnsStub,
    /// DNS over TLS to a public resolver.
    Dot,
    /// DNS over TLS to the LAN's resolver.
    DotLan,
    /// TCP to the server, another port.
    ServerOtherPort,
    /// UDP to the server.
    ServerUdp,
    /// TCP to the server's own port, but not by the engine.
    ServerSamePort,
    /// UDP from a socket tied to the interface.
    BoundUdp,
    /// TCP from a socket tied to the interface.
    BoundTcp,
    /// UDP over IPv6 from a socket tied to the interface.
    BoundUdp6,
    /// DNS to the LAN's resolver from a socket tied to the interface.
    BoundDns,
    /// UDP with the interface asked for by `IP_UNICAST_IF`.
    UnicastIf,
    /// DNS with the interface asked for by `IP_UNICAST_IF`.
    UnicastIfDns,
    /// UDP over IPv6 with the interface asked for by `IPV6_UNICAST_IF`.
    UnicastIf6,
    /// UDP from the interface's address.
    SourceUdp,
    /// TCP from the interface's address.
    SourceTcp,
    /// Multicast DNS out of the interface.
    Mdns,
    /// Multicast DNS over IPv6 out of the interface.
    Mdns6,
    /// Link-local multicast name resolution out of the interface.
    Llmnr,
    /// A NetBIOS name query to the LAN's broadcast address.
    Netbios,
    /// UDP to another device of the LAN.
    LanUdp,
    /// TCP to another device of the LAN.
    LanTcp,
    /// UDP over IPv6 to another device of the LAN.
    Lan6,
    /// UDP to another device of the LAN that insists on no router (`SO_DONTROUTE`).
    DontRoute,
    /// Membership of a multicast group on the interface, asked for and given
    /// up: the kernel itself reports both (RFC 3376).
    Join,
    /// As `Join`, over IPv6 (RFC 3810).
    Join6,
    /// A whole frame from a packet socket of root.
    Packet,
    /// As `Packet`, past the interface's queue (`PACKET_QDISC_BYPASS`).
    PacketBypass,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 41] = [
        Self::Udp,
        Self::Udp6,
        Self::LargeUdp,
        Self::Tcp,
        Self::Tcp6,
        Self::Icmp,
        Self::Icmp6,
        Self::DnsUdp,
        Self::DnsTcp,
        Self::Dns6Udp,
        Self::DnsLanUdp,
        Self::DnsLanTcp,
        Self::Dns6LanUdp,
        Self::DnsLinkLocal,
        Self::DnsStub,
        Self::Dot,
        Self::DotLan,
        Self::ServerOtherPort,
        Self::ServerUdp,
        Self::ServerSamePort,
        Self::BoundUdp,
        Self::BoundTcp,
        Self::BoundUdp6,
        Self::BoundDns,
        Self::UnicastIf,
        Self::UnicastIfDns,
        Self::UnicastIf6,
        Self::SourceUdp,
        Self::SourceTcp,
        Self::Mdns,
        Self::Mdns6,
        Self::Llmnr,
        Self::Netbios,
        Self::LanUdp,
        Self::LanTcp,
        Self::Lan6,
        Self::DontRoute,
        Self::Join,
        Self::Join6,
        Self::Packet,
        Self::PacketBypass,
    ];

    /// The class it belongs to.
    #[must_use]
    pub const fn class(self) -> Class {
        match self {
            Self::Udp | Self::LargeUdp => Class::Udp,
            Self::Udp6 => Class::Udp6,
            Self::Tcp | Self::Tcp6 | Self::Dot => Class::Tcp,
            Self::Icmp | Self::Icmp6 => Class::Icmp,
            Self::DnsUdp | Self::Dns6Udp => Class::DnsUdp,
            Self::DnsLanUdp | Self::Dns6LanUdp | Self::DnsLinkLocal | Self::DnsStub => {
                Class::DnsLanUdp
            }
            Self::DnsTcp => Class::DnsTcp,
            Self::DnsLanTcp => Class::DnsLanTcp,
            Self::ServerOtherPort => Class::ServerOtherPort,
            Self::ServerUdp | Self::ServerSamePort => Class::ServerSamePort,
            Self::BoundUdp | Self::BoundTcp | Self::BoundUdp6 | Self::BoundDns => Class::Device,
            Self::UnicastIf
            | Self::UnicastIfDns
            | Self::UnicastIf6
            | Self::SourceUdp
            | Self::SourceTcp => Class::Source,
            Self::Mdns | Self::Mdns6 | Self::Llmnr | Self::Netbios | Self::Join | Self::Join6 => {
                Class::Multicast
            }
            Self::DotLan | Self::LanUdp | Self::LanTcp | Self::Lan6 | Self::DontRoute => Class::Lan,
            Self::Packet | Self::PacketBypass => Class::Packet,
        }
    }

    /// A short name, the same in reports and in payloads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
            Self::LargeUdp => "udp-large",
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Icmp => "icmp",
            Self::Icmp6 => "icmp6",
            Self::DnsUdp => "dns-udp",
            Self::DnsTcp => "dns-tcp",
            Self::Dns6Udp => "dns6-udp",
            Self::DnsLanUdp => "dns-lan-udp",
            Self::DnsLanTcp => "dns-lan-tcp",
            Self::Dns6LanUdp => "dns6-lan-udp",
            Self::DnsLinkLocal => "dns-link-local",
            Self::DnsStub => "dns-stub",
            Self::Dot => "dot",
            Self::DotLan => "dot-lan",
            Self::ServerOtherPort => "server-other-port",
            Self::ServerUdp => "server-udp",
            Self::ServerSamePort => "server-same-port",
            Self::BoundUdp => "bound-udp",
            Self::BoundTcp => "bound-tcp",
            Self::BoundUdp6 => "bound-udp6",
            Self::BoundDns => "bound-dns",
            Self::UnicastIf => "unicast-if",
            Self::UnicastIfDns => "unicast-if-dns",
            Self::UnicastIf6 => "unicast-if6",
            Self::SourceUdp => "source-udp",
            Self::SourceTcp => "source-tcp",
            Self::Mdns => "mdns",
            Self::Mdns6 => "mdns6",
            Self::Llmnr => "llmnr",
            Self::Netbios => "netbios",
            Self::LanUdp => "lan-udp",
            Self::LanTcp => "lan-tcp",
            Self::Lan6 => "lan6",
            Self::DontRoute => "dont-route",
            Self::Join => "join",
            Self::Join6 => "join6",
            Self::Packet => "packet",
            Self::PacketBypass => "packet-bypass",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}

impl Class {
    /// Its kinds.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| kind.class() == self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_kinds_and_every_kind_is_there_once() {
        let counts = Class::ALL.map(|class| class.kinds().count());
        assert!(counts.iter().all(|count| *count > 0));
        assert_eq!(counts.iter().sum::<usize>(), Kind::ALL.len());
    }
}
