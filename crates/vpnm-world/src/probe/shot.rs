//! One probe: open, aim, fire, never wait.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::kind::Kind;
use super::uplinks::{Uplink, Uplinks};
use crate::addresses::{CLOUDFLARE, GATEWAY, GATEWAY_LINK_LOCAL, NEIGHBOUR, PLAIN_RESOLVER, SITE};
use crate::mark::PROBE_PORTS;
use crate::sys;

/// What shots need to know of their surroundings.
#[derive(Debug)]
pub(super) struct Range {
    /// The proxy server.
    pub(super) server: SocketAddr,
    /// The client's interfaces and addresses, as they are now.
    pub(super) uplinks: Uplinks,
    /// Packet sockets opened by root, by the kind that uses them.
    pub(super) packet: BTreeMap<Kind, OwnedFd>,
    /// The interface they send by: it keeps this number while it is renamed, and
    /// when it comes back from another namespace.
    pub(super) interface: u32,
    /// Sockets for datagrams, aimed, and how often each was used.
    pub(super) aimed: BTreeMap<Kind, (OwnedFd, SocketAddr, u16)>,
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
    /// Nothing was asked of the kernel that could have left: for want of an
    /// interface, an address, a port, memory.
    Missed,
}

#[derive(Debug, Clone, Copy)]
enum Carrier {
    Udp(SocketAddr),
    Tcp(SocketAddr),
    Ping(IpAddr),
    /// Membership of a group on an interface, for a moment.
    Group(IpAddr, u32),
    Frame,
}

const DISCARD: u16 = 9;
/// Datagrams from one socket, before another is opened: what is cached with a
/// socket, such as its route, is tried both fresh and old.
const USES: u16 = 64;

impl Range {
    /// Fires one probe.
    pub(super) fn fire(&mut self, kind: Kind, payload: &[u8]) -> Fired {
        self.count = self.count.wrapping_add(1);
        let Ok(carrier) = self.carrier(kind) else {
            return Fired::Missed;
        };
        let result = match carrier {
            Carrier::Frame => self.send_frame(kind, payload),
            Carrier::Group(group, link) => return join(group, link),
            Carrier::Tcp(_) => self.connect(kind, carrier),
            Carrier::Udp(_) | Carrier::Ping(_) => self.send(kind, carrier, payload),
        };
        result.unwrap_or_else(verdict)
    }

    fn send_frame(&self, kind: Kind, payload: &[u8]) -> Result<Fired, Errno> {
        let socket = self.packet.get(&kind).ok_or(Errno::NODEV)?;
        sys::send_frame(socket.as_fd(), self.interface, payload)?;
        Ok(Fired::Sent)
    }

    fn connect(&self, kind: Kind, carrier: Carrier) -> Result<Fired, Errno> {
        let Ok((socket, target)) = self.aim(kind, carrier) else {
            return Ok(Fired::Missed);
        };
        // Leaves no port behind that is taken for a minute.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        match rustix::net::connect(&socket, &target) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Fired::Connecting(socket)),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, kind: Kind, carrier: Carrier, payload: &[u8]) -> Result<Fired, Errno> {
        let (socket, target, uses) = match self.aimed.remove(&kind) {
            Some(old) => old,
            None => match self.aim(kind, carrier) {
                Ok((socket, target)) => (socket, target, 0),
                Err(_) => return Ok(Fired::Missed),
            },
        };
        // One that failed is closed, and another opened for the next shot.
        rustix::net::sendto(&socket, payload, SendFlags::DONTWAIT, &target)?;
        if uses < USES {
            self.aimed.insert(kind, (socket, target, uses + 1));
        }
        Ok(Fired::Sent)
    }

    /// The interface whose turn it is.
    fn link(&self) -> io::Result<&Uplink> {
        self.uplinks.link(self.count)
    }

    fn carrier(&self, kind: Kind) -> io::Result<Carrier> {
        let udp = |address: IpAddr, port| Carrier::Udp(SocketAddr::new(address, port));
        let tcp = |address: IpAddr, port| Carrier::Tcp(SocketAddr::new(address, port));
        let scoped = |address, port| -> io::Result<Carrier> {
            let scope = self.link()?.index;
            Ok(Carrier::Udp(
                SocketAddrV6::new(address, port, 0, scope).into(),
            ))
        };
        let lan_broadcast = Ipv4Addr::new(192, 168, 77, 255);
        Ok(match kind {
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
            Kind::DnsLinkLocal => scoped(GATEWAY_LINK_LOCAL, 53)?,
            Kind::DnsStub => udp(Ipv4Addr::new(127, 0, 0, 53).into(), 53),
            Kind::Dot => tcp(CLOUDFLARE.v4.into(), 853),
            Kind::DotLan => tcp(GATEWAY.v4.into(), 853),
            Kind::ServerOtherPort => tcp(self.server.ip(), 22),
            Kind::ServerUdp => Carrier::Udp(self.server),
            Kind::ServerSamePort => Carrier::Tcp(self.server),
            Kind::Mdns => udp(Ipv4Addr::new(224, 0, 0, 251).into(), 5353),
            Kind::Mdns6 => scoped(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 5353)?,
            Kind::Llmnr => udp(Ipv4Addr::new(224, 0, 0, 252).into(), 5355),
            Kind::Netbios => udp(lan_broadcast.into(), 137),
            Kind::LanUdp | Kind::DontRoute => udp(NEIGHBOUR.v4.into(), DISCARD),
            Kind::LanTcp => tcp(NEIGHBOUR.v4.into(), 80),
            Kind::Lan6 => udp(NEIGHBOUR.v6.into(), DISCARD),
            Kind::Join => {
                let [high, low] = self.count.to_be_bytes();
                let group = Ipv4Addr::new(239, 77, high, low);
                Carrier::Group(group.into(), self.link()?.index)
            }
            Kind::Join6 => {
                let group = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x77, self.count);
                Carrier::Group(group.into(), self.link()?.index)
            }
            Kind::Packet | Kind::PacketBypass => Carrier::Frame,
        })
    }

    /// A socket with all that makes the kind special, before anything is sent.
    fn aim(&self, kind: Kind, carrier: Carrier) -> io::Result<(OwnedFd, SocketAddr)> {
        let (socket, target) = open(carrier)?;
        self.set(kind, &socket)?;
        Ok((socket, target))
    }

    fn set(&self, kind: Kind, socket: &OwnedFd) -> io::Result<()> {
        match kind {
            Kind::BoundUdp | Kind::BoundTcp | Kind::BoundUdp6 | Kind::BoundDns => {
                sys::bind_to_device(socket.as_fd(), &self.link()?.name)
            }
            Kind::UnicastIf | Kind::UnicastIfDns => {
                sys::unicast_interface(socket.as_fd(), self.link()?.index)
            }
            Kind::DontRoute => sys::do_not_route(socket.as_fd()),
            Kind::UnicastIf6 => sys::unicast_interface6(socket.as_fd(), self.link()?.index),
            Kind::SourceUdp | Kind::SourceTcp => {
                let source = self.uplinks.source(self.count)?;
                bind(socket, SocketAddr::new(source.into(), 0))
            }
            Kind::ServerSamePort => self.bind_to_probe_port(socket),
            Kind::Mdns | Kind::Llmnr => {
                let (any, index) = (&Ipv4Addr::UNSPECIFIED, self.link()?.index);
                let set = sockopt::set_ip_multicast_if_with_ifindex;
                Ok(set(socket, any, any, index)?)
            }
            Kind::Mdns6 => Ok(sockopt::set_ipv6_multicast_if(socket, self.link()?.index)?),
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
            | Kind::Join
            | Kind::Join6
            | Kind::Packet
            | Kind::PacketBypass => Ok(()),
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

/// What it means that the kernel did not take a shot.
fn verdict(error: Errno) -> Fired {
    match error {
        // Nothing there to leave by, or nothing left to try it with.
        Errno::NODEV
        | Errno::NXIO
        | Errno::NETDOWN
        | Errno::ADDRNOTAVAIL
        | Errno::ADDRINUSE
        | Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::AGAIN => Fired::Missed,
        // A frame that a filter drops is reported as one without room, too.
        _ => Fired::Refused,
    }
}

/// Asks for a membership, which ends with the socket.
fn join(group: IpAddr, link: u32) -> Fired {
    let asked = open(Carrier::Udp(SocketAddr::new(group, DISCARD))).and_then(|(socket, _)| {
        let any = &Ipv4Addr::UNSPECIFIED;
        match group {
            IpAddr::V4(group) => {
                sockopt::set_ip_add_membership_with_ifindex(&socket, &group, any, link)
            }
            IpAddr::V6(group) => sockopt::set_ipv6_add_membership(&socket, &group, link),
        }
    });
    asked.map_or(Fired::Missed, |()| Fired::Sent)
}

fn bind(socket: &OwnedFd, to: SocketAddr) -> io::Result<()> {
    Ok(rustix::net::bind(socket, &to)?)
}

fn open(carrier: Carrier) -> Result<(OwnedFd, SocketAddr), Errno> {
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
        Carrier::Group(..) | Carrier::Frame => return Err(Errno::INVAL),
    };
    let family = match target {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, kind, flags, protocol)?;
    Ok((socket, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_that_is_not_there_is_no_attempt() {
        for missing in [Errno::NODEV, Errno::ADDRNOTAVAIL, Errno::NETDOWN] {
            assert!(matches!(verdict(missing), Fired::Missed), "{missing}");
        }
        for refusal in [Errno::PERM, Errno::NOBUFS, Errno::NETUNREACH] {
            assert!(matches!(verdict(refusal), Fired::Refused), "{refusal}");
        }
    }
}
