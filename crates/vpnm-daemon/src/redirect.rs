//! The listeners of the DNS redirect.
//!
//! They are bound by the daemon, which may, and served by the engine, which may
//! not bind anything. All four share one port, which the packet filter is told.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// How often another port is tried when one of the four is taken.
const ATTEMPTS: usize = 16;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Lets in what came by the loopback interface, whose number is 1 in every network
/// namespace; whatever this host sends to an address of its own does (BPF, classic:
/// `Documentation/networking/filter.rst`).
const OF_THIS_HOST: [SockFilter; 4] = [
    // A = the number of the interface (SKF_AD_OFF + SKF_AD_IFINDEX).
    SockFilter::new(0x20, 0, 0, 0xffff_f008),
    // If A is 1, the next, else the one after it.
    SockFilter::new(0x15, 0, 1, 1),
    // All of the packet.
    SockFilter::new(0x06, 0, 0, u32::MAX),
    // Nothing.
    SockFilter::new(0x06, 0, 0, 0),
];

/// The bound listeners.
#[derive(Debug)]
pub(crate) struct Redirect {
    /// UDP and TCP on 127.0.0.1, then, where there is IPv6, on all addresses of that:
    /// queries to link-local resolvers come to the links' own. Nobody but this host is
    /// heard there: where the packet filter is not in force, by [`OF_THIS_HOST`].
    pub(crate) listeners: Vec<OwnedFd>,
    /// The port they share.
    pub(crate) port: u16,
}

impl Redirect {
    /// Binds a port that is free in both families.
    ///
    /// # Errors
    /// When sixteen ports in a row were not free, or IPv4 loopback cannot be bound.
    pub(crate) fn bind() -> io::Result<Self> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::try_bind() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempt < ATTEMPTS => {}
                bound => return bound,
            }
        }
    }

    /// Duplicates of the listeners, for an engine.
    pub(crate) fn listeners(&self) -> io::Result<Vec<OwnedFd>> {
        self.listeners.iter().map(OwnedFd::try_clone).collect()
    }

    fn try_bind() -> io::Result<Self> {
        let first = listener(Ipv4Addr::LOCALHOST.into(), Type::DGRAM, 0)?;
        let port = first.local_addr()?.as_socket().map_or(0, |at| at.port());
        let second = listener(Ipv4Addr::LOCALHOST.into(), Type::STREAM, port)?;
        let mut listeners: Vec<OwnedFd> = vec![first.into(), second.into()];
        for kind in [Type::DGRAM, Type::STREAM] {
            match listener(Ipv6Addr::UNSPECIFIED.into(), kind, port) {
                Err(error) if is_without_ipv6(&error) => break,
                bound => listeners.push(bound?.into()),
            }
        }
        Ok(Self { listeners, port })
    }
}

fn listener(ip: IpAddr, kind: Type, port: u16) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let protocol = if kind == Type::STREAM {
        Protocol::TCP
    } else {
        Protocol::UDP
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
        socket.attach_filter(&OF_THIS_HOST)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

fn is_without_ipv6(error: &io::Error) -> bool {
    matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_listeners_share_a_port() {
        let redirect = Redirect::bind().unwrap();
        assert!(matches!(redirect.listeners.len(), 2 | 4));
        for listener in redirect.listeners {
            let socket = Socket::from(listener);
            let address = socket.local_addr().unwrap().as_socket().unwrap();
            assert_eq!(address.port(), redirect.port);
            let own = IpAddr::from(Ipv6Addr::UNSPECIFIED);
            assert!(address.ip().is_loopback() || address.ip() == own);
        }
    }
}
