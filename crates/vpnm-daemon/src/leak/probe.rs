//! The ways out that are tried.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};
use vpnm_api::leak_check;

use super::frame;

/// The word for an attempt that the process does not make.
pub(super) const NONE: &str = "-";
/// Attempts of one round at most: each has a number of its own.
pub(super) const ROUND: u8 = 250;

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

/// What a word for an attempt begins with.
const LETTERS: [(Kind, &str); 3] = [
    (Kind::Datagram, "u"),
    (Kind::Connection, "t"),
    (Kind::Query, "q"),
];
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

/// The attempts of one round with the numbers that are in their destinations.
pub(super) fn numbered<P>(round: &[P]) -> impl Iterator<Item = (u8, &P)> {
    (1..=ROUND).zip(round)
}

/// Makes the attempts of a round: `words` are its port and the attempts, as the daemon
/// gives them to the process that does this. How each ends is of no interest, only
/// what is seen to leave. Returns the numbers of those that were made: the kernel was
/// asked to send something, whatever it answered.
///
/// # Errors
/// When the words make no sense.
pub fn send_all(words: &[String]) -> io::Result<Vec<u8>> {
    let nonsense = || io::Error::from(io::ErrorKind::InvalidInput);
    let (port, probes) = words.split_first().ok_or_else(nonsense)?;
    let port: u16 = port.parse().map_err(|_| nonsense())?;
    let mut made = Vec::new();
    for (number, word) in numbered(probes).filter(|(_, word)| *word != NONE) {
        let Ok(Probe::Socket { kind, v6, way }) = word.parse() else {
            return Err(nonsense());
        };
        if let Ok(socket) = prepare(kind, v6, &way) {
            send(&socket, kind, v6, number, port);
            made.push(number);
        }
    }
    Ok(made)
}

/// A socket that insists on the way.
fn prepare(kind: Kind, v6: bool, way: &Way) -> io::Result<Socket> {
    let (form, protocol) = match kind {
        Kind::Datagram | Kind::Query => (Type::DGRAM, Protocol::UDP),
        Kind::Connection => (Type::STREAM, Protocol::TCP),
    };
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, form, Some(protocol))?;
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
    Ok(socket)
}

/// Asks the kernel to send; an error is its refusal.
fn send(socket: &Socket, kind: Kind, v6: bool, number: u8, port: u16) {
    let port = if kind == Kind::Query {
        frame::DNS
    } else {
        port
    };
    let to = SocketAddr::new(leak_check::destination(number, v6), port);
    let _refused = match kind {
        Kind::Connection => socket.connect(&to.into()),
        Kind::Datagram => socket.send_to(frame::PAYLOAD, &to.into()).map(drop),
        Kind::Query => socket.send_to(&query(), &to.into()).map(drop),
    };
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

impl Probe {
    /// The attempt as a word for the process that makes it: what is sent, over which
    /// family, and tied to which interface (`%`) or address (`@`), if to any; nothing
    /// for what root does itself.
    pub(super) fn word(&self) -> Option<String> {
        let Self::Socket { kind, v6, way } = self else {
            return None;
        };
        let (_, letter) = LETTERS.iter().find(|(known, _)| known == kind)?;
        let family = if *v6 { '6' } else { '4' };
        Some(match way {
            Way::Any => format!("{letter}{family}"),
            Way::Link(name) => format!("{letter}{family}%{name}"),
            Way::Address(ip) => format!("{letter}{family}@{ip}"),
        })
    }
}

impl FromStr for Probe {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let known = LETTERS.iter().find_map(|(kind, letter)| {
            let rest = word.strip_prefix(letter)?;
            Some((*kind, rest))
        });
        let (kind, rest) = known.ok_or(())?;
        let (v6, way) = match (rest.strip_prefix('4'), rest.strip_prefix('6')) {
            (Some(way), _) => (false, way),
            (None, Some(way)) => (true, way),
            (None, None) => return Err(()),
        };
        let way = match (way.strip_prefix('%'), way.strip_prefix('@')) {
            (Some(name), _) => Way::Link(name.to_owned()),
            (None, Some(ip)) => Way::Address(ip.parse().map_err(|_| ())?),
            (None, None) if way.is_empty() => Way::Any,
            (None, None) => return Err(()),
        };
        Ok(Self::Socket { kind, v6, way })
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
    fn a_word_says_which_attempt_is_meant() {
        for probe in all(&[link()]) {
            let again = probe.word().map(|word| word.parse());
            match probe {
                Probe::Socket { .. } => assert_eq!(again, Some(Ok(probe))),
                Probe::Frame(_) => assert_eq!(again, None, "root's own"),
            }
        }
        for wrong in ["", "u", "x4", "u5", "u4eth0", "u4@nowhere", "4u"] {
            assert_eq!(wrong.parse::<Probe>(), Err(()), "{wrong}");
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
        let round = vec![(); usize::from(ROUND)];
        assert_eq!(numbered(&round).count(), round.len(), "a number for each");
    }

    #[test]
    fn what_cannot_be_made_does_not_count() {
        let send_all = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            send_all(&words)
        };
        let made = send_all(&["61000", "u4%nowhere0", "t4@192.0.2.250", "-"]);
        assert_eq!(made.unwrap(), Vec::<u8>::new());
        assert!(send_all(&["61000", "u4", "nonsense"]).is_err());
        assert!(send_all(&["x"]).is_err());
    }
}
