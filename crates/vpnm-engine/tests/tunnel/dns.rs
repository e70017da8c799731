//! A stub resolver of a few lines.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use vpnm_dns::wire::{Header, Key, Name, Response, encode_query, kind, question};
use vpnm_wire::Host;

/// The engine answers in 4.5 s at most, if only to say that it cannot: nothing is asked
/// twice, so that a lost answer is seen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rcode: u16,
    pub(crate) addresses: Vec<IpAddr>,
}

fn key(name: &str) -> io::Result<Key> {
    match Host::domain(name).map_err(io::Error::other)? {
        Host::Domain(name) => Ok(Key::new(
            Name::from_domain(&name).as_bytes(),
            kind::A,
            false,
            false,
        )),
        Host::Ip(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn read(message: &[u8], key: &Key) -> io::Result<Answer> {
    let header = Header::decode(message).map_err(io::Error::other)?;
    let response = Response::decode(message, key).map_err(io::Error::other)?;
    Ok(Answer {
        rcode: header.flags.rcode(),
        addresses: response.addresses().collect(),
    })
}

/// Asks by a datagram.
pub(crate) fn by_datagram(resolver: SocketAddr, name: &str) -> io::Result<Answer> {
    let any = if resolver.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(resolver)?;
    let key = key(name)?;
    socket.send(&encode_query(&key))?;
    let mut space = [0; 4096];
    let length = socket.recv(&mut space)?;
    read(space.get(..length).unwrap_or_default(), &key)
}

/// Asks by a stream.
pub(crate) fn by_stream(resolver: SocketAddr, name: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&resolver, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let key = key(name)?;
    let query = encode_query(&key);
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &query].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    read(&message, &key)
}

/// Asks many names at once from one socket; how many different ones were answered.
pub(crate) fn burst(
    resolver: SocketAddr,
    names: impl Iterator<Item = String>,
) -> io::Result<usize> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(resolver)?;
    let mut open = BTreeSet::new();
    for name in names {
        let query = encode_query(&key(&name)?);
        socket.send(&query)?;
        open.insert(question(&query).map_err(io::Error::other)?.to_vec());
    }
    let all = open.len();
    let mut space = [0; 4096];
    while !open.is_empty() {
        let Ok(length) = socket.recv(&mut space) else {
            break;
        };
        let message = space.get(..length).unwrap_or_default();
        let header = Header::decode(message).map_err(io::Error::other)?;
        if matches!(header.flags.rcode(), 0 | 3) {
            open.remove(question(message).map_err(io::Error::other)?);
        }
    }
    Ok(all - open.len())
}
