//! The ways out that are tried.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

use super::frame;

/// An interface that leads out of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Probe {
    /// By a socket of an ordinary program.
    Socket { kind: Kind, v6: bool, way: Way },
    /// By root, past the IP stack.
    Frame(Link),
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Datagram,
    Connection,
    Query,
}

/// What the socket insists on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    Any,
    Link(String),
    Address(IpAddr),
}

const KINDS: [Kind; 3] = [Kind::Datagram, Kind::Connection, Kind::Query];

/// Every attempt on a machine with these links.
pub(super) fn all(links: &[Link]) -> Vec<Probe> {
    let mut probes = Vec::new();
    let mut add = |way: &Way, families: &[bool]| {
        for kind in KINDS {
            probes.extend(families.iter().map(|v6| Probe::Socket {
                kind,
                v6: *v6,
                way: way.clone(),
            }));
        }
    };
    add(&Way::Any, &[false, true]);
    for link in links {
        add(&Way::Link(link.name.clone()), &[false, true]);
        for address in &link.addresses {
            add(&Way::Address(*address), &[address.is_ipv6()]);
        }
    }
    probes.extend(links.iter().cloned().map(Probe::Frame));
    probes
}

/// The attempts with the numbers that are in their destinations.
pub(super) fn numbered(probes: &[Probe]) -> impl Iterator<Item = (u8, &Probe)> {
    (1..254).zip(probes)
}

/// Makes the attempts of a check: `words` are its port and its links, as the daemon
/// gives them to the process that does this. How each ends is of no interest, only
/// what is seen to leave.
///
/// # Errors
/// When the words make no sense.
pub fn send_all(words: &[String]) -> io::Result<()> {
    let nonsense = || io::Error::from(io::ErrorKind::InvalidInput);
    let (port, links) = words.split_first().ok_or_else(nonsense)?;
    let port: u16 = port.parse().map_err(|_| nonsense())?;
    let links = links.iter().map(|link| link.parse());
    let links: Vec<Link> = links.collect::<Result<_, ()>>().map_err(|()| nonsense())?;
    for (number, probe) in numbered(&all(&links)) {
        if let Probe::Socket { kind, v6, way } = probe {
            let _refused = send(*kind, *v6, way, number, port);
        }
    }
    Ok(())
}

fn send(kind: Kind, v6: bool, way: &Way, number: u8, port: u16) -> io::Result<()> {
    let port = if kind == Kind::Query {
        frame::DNS
    } else {
        port
    };
    let to = SocketAddr::new(frame::destination(number, v6), port);
    let (form, protocol) = match kind {
        Kind::Datagram | Kind::Query => (Type::DGRAM, Protocol::UDP),
        Kind::Connection => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(to), form, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if v6 {
        socket.set_unicast_hops_v6(1)?;
    } else {
        socket.set_ttl_v4(1)?;
    }
    match way {
        Way::Any => {}
        Way::Link(name) => socket.bind_device(Some(name.as_bytes()))?,
        Way::Address(ip) => socket.bind(&SocketAddr::new(*ip, 0).into())?,
    }
    match kind {
        Kind::Connection => socket.connect(&to.into()),
        Kind::Datagram => socket.send_to(frame::PAYLOAD, &to.into()).map(drop),
        Kind::Query => socket.send_to(&query(), &to.into()).map(drop),
    }
}

/// A question for a name that does not exist (RFC 1035, RFC 2606).
fn query() -> Vec<u8> {
    let mut query = vec![0x76, 0x70, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(b"\x0fvpnm-leak-check\x07invalid\0");
    query.extend_from_slice(&[0, 1, 0, 1]);
    query
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, v6, way) = match self {
            Self::Frame(link) => return write!(f, "a raw frame by {}", link.name),
            Self::Socket { kind, v6, way } => (kind, v6, way),
        };
        f.write_str(match kind {
            Kind::Datagram => "UDP",
            Kind::Connection => "TCP",
            Kind::Query => "DNS",
        })?;
        f.write_str(if *v6 { " over IPv6" } else { " over IPv4" })?;
        match way {
            Way::Any => Ok(()),
            Way::Link(name) => write!(f, " tied to {name}"),
            Way::Address(ip) => write!(f, " from {ip}"),
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.index, self.name)?;
        self.addresses.iter().try_for_each(|ip| write!(f, ",{ip}"))
    }
}

impl FromStr for Link {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(',');
        let index = words.next().and_then(|word| word.parse().ok());
        let name = words.next().ok_or(())?.to_owned();
        let addresses = words.map(|word| word.parse().map_err(|_| ()));
        Ok(Self {
            index: index.ok_or(())?,
            name,
            addresses: addresses.collect::<Result<_, ()>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            index: 3,
            name: "eth0".to_owned(),
            addresses: vec![
                "192.168.77.2".parse().unwrap(),
                "2001:db8:77::2".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn a_link_reads_back_as_written() {
        assert_eq!(link().to_string().parse(), Ok(link()));
        for wrong in ["", "x,eth0", "3", "3,eth0,nowhere"] {
            assert_eq!(wrong.parse::<Link>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn every_way_out_is_tried_and_named_once() {
        let probes = all(&[link()]);
        let mut names: Vec<String> = probes.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), 6 + 6 + 6 + 1);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), probes.len());
        let most = vec![link(); super::super::LINKS];
        assert!(all(&most).len() < 254, "a number for each");
    }
}
