//! One probe: open, aim, fire, never wait.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::kind::Kind;
use super::payload;
use crate::addresses::{
    CLIENT, CLIENT_LINK, CLOUDFLARE, GATEWAY, GATEWAY_LINK_LOCAL, NEIGHBOUR, PLAIN_RESOLVER, SITE,
};
use crate::mark::PROBE_PORTS;
use crate::sys;

/// What shots need to know of their surroundings.
#[derive(Debug)]
pub(super) struct Range {
    /// The proxy server.
    pub(super) server: SocketAddr,
    /// Number of the client's interface.
    pub(super) interface: u32,
    /// A packet socket opened by root.
    pub(super) packet: Option<OwnedFd>,
    /// Shots so far.
    pub(super) count: u16,
}

/// What became of a shot.
#[derive(Debug)]
pub(super) enum Fired {
    /// Handed to the kernel.
    Sent,
    /// A connection on its way; its payload is still to be written.
    Connecting(OwnedFd),
    /// The kernel refused at once.
    Refused,
}

#[derive(Debug, Clone, Copy)]
enum Carrier {
    Udp(SocketAddr),
    Tcp(SocketAddr),
    Ping(IpAddr),
    Frame,
}

const DISCARD: u16 = 9;

impl Range {
    /// Fires one probe.
    pub(super) fn fire(&mut self, kind: Kind) -> Fired {
        self.count = self.count.wrapping_add(1);
        match self.attempt(kind) {
            Ok(fired) => fired,
            Err(_) => Fired::Refused,
        }
    }

    fn attempt(&self, kind: Kind) -> io::Result<Fired> {
        let carrier = self.carrier(kind);
        if let Carrier::Frame = carrier {
            return self.fire_frame(kind);
        }
        let (socket, target) = open(carrier)?;
        self.aim(kind, &socket)?;
        if let Carrier::Tcp(_) = carrier {
            return match rustix::net::connect(&socket, &target) {
                Ok(()) | Err(Errno::INPROGRESS) => Ok(Fired::Connecting(socket)),
                Err(error) => Err(error.into()),
            };
        }
        rustix::net::sendto(&socket, &payload::of(kind), SendFlags::DONTWAIT, &target)?;
        Ok(Fired::Sent)
    }

    fn fire_frame(&self, kind: Kind) -> io::Result<Fired> {
        let socket = self.packet.as_ref().ok_or(Errno::BADF)?;
        rustix::net::send(socket, &payload::of(kind), SendFlags::DONTWAIT)?;
        Ok(Fired::Sent)
    }

    fn carrier(&self, kind: Kind) -> Carrier {
        let udp = |address: IpAddr, port| Carrier::Udp(SocketAddr::new(address, port));
        let tcp = |address: IpAddr, port| Carrier::Tcp(SocketAddr::new(address, port));
        let scoped = |address, port| {
            Carrier::Udp(SocketAddrV6::new(address, port, 0, self.interface).into())
        };
        let lan_broadcast = Ipv4Addr::new(192, 168, 77, 255);
        match kind {
            Kind::Udp | Kind::LargeUdp | Kind::BoundUdp | Kind::UnicastIf | Kind::SourceUdp => {
                udp(SITE.v4.into(), DISCARD)
            }
            Kind::Udp6 | Kind::BoundUdp6 | Kind::UnicastIf6 => udp(SITE.v6.into(), DISCARD),
            Kind::Tcp | Kind::BoundTcp | Kind::SourceTcp => tcp(SITE.v4.into(), 80),
            Kind::Tcp6 => tcp(SITE.v6.into(), 80),
            Kind::Icmp => Carrier::Ping(SITE.v4.into()),
            Kind::Icmp6 => Carrier::Ping(SITE.v6.into()),
            Kind::DnsUdp => udp(PLAIN_RESOLVER.v4.into(), 53),
            Kind::DnsTcp => tcp(PLAIN_RESOLVER.v4.into(), 53),
            Kind::Dns6Udp => udp(PLAIN_RESOLVER.v6.into(), 53),
            Kind::DnsLanUdp | Kind::BoundDns | Kind::UnicastIfDns => udp(GATEWAY.v4.into(), 53),
            Kind::DnsLanTcp => tcp(GATEWAY.v4.into(), 53),
            Kind::Dns6LanUdp => udp(GATEWAY.v6.into(), 53),
            Kind::DnsLinkLocal => scoped(GATEWAY_LINK_LOCAL, 53),
            Kind::DnsStub => udp(Ipv4Addr::new(127, 0, 0, 53).into(), 53),
            Kind::Dot => tcp(CLOUDFLARE.v4.into(), 853),
            Kind::DotLan => tcp(GATEWAY.v4.into(), 853),
            Kind::ServerOtherPort => tcp(self.server.ip(), 22),
            Kind::ServerUdp => Carrier::Udp(self.server),
            Kind::ServerSamePort => Carrier::Tcp(self.server),
            Kind::Mdns => udp(Ipv4Addr::new(224, 0, 0, 251).into(), 5353),
            Kind::Mdns6 => scoped(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 5353),
            Kind::Llmnr => udp(Ipv4Addr::new(224, 0, 0, 252).into(), 5355),
            Kind::Netbios => udp(lan_broadcast.into(), 137),
            Kind::LanUdp | Kind::DontRoute => udp(NEIGHBOUR.v4.into(), DISCARD),
            Kind::LanTcp => tcp(NEIGHBOUR.v4.into(), 80),
            Kind::Lan6 => udp(NEIGHBOUR.v6.into(), DISCARD),
            Kind::Packet => Carrier::Frame,
        }
    }

    /// What makes the kind special, before anything is sent.
    fn aim(&self, kind: Kind, socket: &OwnedFd) -> io::Result<()> {
        match kind {
            Kind::BoundUdp | Kind::BoundTcp | Kind::BoundUdp6 | Kind::BoundDns => {
                sys::bind_to_device(socket.as_fd(), CLIENT_LINK)
            }
            Kind::UnicastIf | Kind::UnicastIfDns => {
                sys::unicast_interface(socket.as_fd(), self.interface)
            }
            Kind::DontRoute => sys::do_not_route(socket.as_fd()),
            Kind::UnicastIf6 => sys::unicast_interface6(socket.as_fd(), self.interface),
            Kind::SourceUdp | Kind::SourceTcp => bind(socket, SocketAddr::new(CLIENT.v4.into(), 0)),
            Kind::ServerSamePort => self.bind_to_probe_port(socket),
            Kind::Mdns | Kind::Llmnr => {
                let mine = &CLIENT.v4;
                Ok(sockopt::set_ip_multicast_if(socket, mine)?)
            }
            Kind::Mdns6 => Ok(sockopt::set_ipv6_multicast_if(socket, self.interface)?),
            Kind::Netbios => Ok(sockopt::set_socket_broadcast(socket, true)?),
            Kind::Udp
            | Kind::Udp6
            | Kind::LargeUdp
            | Kind::Tcp
            | Kind::Tcp6
            | Kind::Icmp
            | Kind::Icmp6
            | Kind::DnsUdp
            | Kind::DnsTcp
            | Kind::Dns6Udp
            | Kind::DnsLanUdp
            | Kind::DnsLanTcp
            | Kind::Dns6LanUdp
            | Kind::DnsLinkLocal
            | Kind::DnsStub
            | Kind::Dot
            | Kind::DotLan
            | Kind::ServerOtherPort
            | Kind::ServerUdp
            | Kind::LanUdp
            | Kind::LanTcp
            | Kind::Lan6
            | Kind::Packet => Ok(()),
        }
    }

    fn bind_to_probe_port(&self, socket: &OwnedFd) -> io::Result<()> {
        let span = PROBE_PORTS.end() - PROBE_PORTS.start();
        let port = PROBE_PORTS.start() + self.count % span;
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        sockopt::set_socket_reuseaddr(socket, true)?;
        bind(socket, SocketAddr::new(any, port))
    }
}

fn bind(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    Ok(rustix::net::bind(socket, &to)?)
}

fn open(carrier: Carrier) -> io::Result<(OwnedFd, SocketAddr)> {
    let (target, kind, protocol) = match carrier {
        Carrier::Udp(target) => (target, SocketType::DGRAM, None),
        Carrier::Tcp(target) => (target, SocketType::STREAM, None),
        Carrier::Ping(address) => {
            let icmp = if address.is_ipv4() {
                ipproto::ICMP
            } else {
                ipproto::ICMPV6
            };
            (SocketAddr::new(address, 0), SocketType::DGRAM, Some(icmp))
        }
        Carrier::Frame => return Err(Errno::INVAL.into()),
    };
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok((
        rustix::net::socket_with(family, kind, flags, protocol)?,
        target,
    ))
}
