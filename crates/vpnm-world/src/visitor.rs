//! What a person at a host does: look up names, fetch pages, transfer bytes.
//! By the host's own settings and as an ordinary user, like any program there.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::addresses::SITE;
use crate::internet::{SINK_PORT, SOURCE_PORT};
use crate::{Host, User};

const PATIENCE: Duration = Duration::from_secs(5);
const CHUNK: usize = 256 * 1024;

/// A user at a host.
#[derive(Debug, Clone)]
pub struct Visitor {
    host: Host,
    user: User,
}

/// Bytes moved, and in what time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes that arrived.
    pub bytes: u64,
    /// From the first byte asked for or sent to the last one that arrived.
    pub elapsed: Duration,
}

impl Transfer {
    /// Bits per second.
    #[must_use]
    pub fn bits_per_second(self) -> u64 {
        let micros = self.elapsed.as_micros().max(1);
        u64::try_from(u128::from(self.bytes) * 8_000_000 / micros).unwrap_or(u64::MAX)
    }
}

impl Visitor {
    /// `user` at `host`.
    #[must_use]
    pub fn new(host: &Host, user: User) -> Self {
        Self {
            host: host.clone(),
            user,
        }
    }

    /// Asks the resolver that `/etc/resolv.conf` names first, by UDP.
    ///
    /// # Errors
    ///
    /// `TimedOut`/`WouldBlock` without an answer in five seconds, `NotFound`
    /// when the answer is an error or has no address.
    pub fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let answers = self.host.run_as(self.user, || {
            let resolver = first_resolver(&std::fs::read_to_string("/etc/resolv.conf")?)?;
            [1, 28]
                .into_iter()
                .map(|kind| ask(resolver, name, kind))
                .collect::<io::Result<Vec<_>>>()
        })?;
        let addresses = answers.concat();
        if addresses.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(addresses)
        }
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`; `TimedOut` after five seconds.
    pub fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.host
            .run_as(self.user, || TcpStream::connect_timeout(&to, PATIENCE))
    }

    /// Fetches a page by HTTP and returns its body.
    ///
    /// # Errors
    ///
    /// Those of the connection; `InvalidData` for an answer other than 200.
    pub fn fetch(&self, server: SocketAddr, name: &str, path: &str) -> io::Result<String> {
        let mut stream = self.connect(server)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        match text.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => Ok(body.to_owned()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not the page that was asked for",
            )),
        }
    }

    /// Takes bytes from the site for `time`.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn download(&self, time: Duration) -> io::Result<Transfer> {
        let mut stream = self.connect((SITE.v4, SOURCE_PORT).into())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (start, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; CHUNK]);
        while start.elapsed() < time {
            let length = stream.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes += u64::try_from(length).unwrap_or(0);
        }
        Ok(Transfer {
            bytes,
            elapsed: start.elapsed(),
        })
    }

    /// Sends bytes to the site for `time`, then waits until all have arrived.
    ///
    /// # Errors
    ///
    /// Those of the connection.
    pub fn upload(&self, time: Duration) -> io::Result<Transfer> {
        let mut stream = self.connect((SITE.v4, SINK_PORT).into())?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (start, mut bytes, zeros) = (Instant::now(), 0, vec![0; CHUNK]);
        while start.elapsed() < time {
            stream.write_all(&zeros)?;
            bytes += u64::try_from(CHUNK).unwrap_or(0);
        }
        // The sink closes its side once it has read everything.
        stream.shutdown(Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())?;
        Ok(Transfer {
            bytes,
            elapsed: start.elapsed(),
        })
    }
}

fn first_resolver(resolv_conf: &str) -> io::Result<IpAddr> {
    resolv_conf
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .find_map(|address| address.trim().parse().ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no resolver in /etc/resolv.conf"))
}

fn ask(resolver: IpAddr, name: &str, kind: u16) -> io::Result<Vec<IpAddr>> {
    let any: IpAddr = if resolver.is_ipv4() {
        [0, 0, 0, 0].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((resolver, 53))?;
    socket.send(&query(name, kind))?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    let answer = buffer.get(..length).unwrap_or_default();
    addresses(answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut bytes = vec![0x57, 0x11, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap_or(0));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1]);
    bytes
}

/// The addresses in an answer without error.
fn addresses(answer: &[u8]) -> Option<Vec<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes(*answer.get(at..)?.first_chunk()?));
    if word(2)? & 0x800f != 0x8000 {
        return None;
    }
    let mut at = skip_name(answer, 12)? + 4;
    let mut found = Vec::new();
    for _ in 0..word(6)? {
        at = skip_name(answer, at)?;
        let data = answer.get(at + 10..)?.get(..usize::from(word(at + 8)?))?;
        match (word(at)?, data.len()) {
            (1, 4) => found.push(IpAddr::from(*data.first_chunk::<4>()?)),
            (28, 16) => found.push(IpAddr::from(*data.first_chunk::<16>()?)),
            _ => {}
        }
        at += 10 + data.len();
    }
    Some(found)
}

fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return Some(at + 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_resolver_is_asked() {
        let text = "# c\nsearch x\nnameserver 2001:db8::1\nnameserver 192.0.2.1\n";
        assert_eq!(
            first_resolver(text).expect("one"),
            "2001:db8::1".parse::<IpAddr>().expect("it")
        );
        assert!(first_resolver("search x\n").is_err());
    }

    #[test]
    fn addresses_are_read_past_other_records() {
        let mut answer = query("a.example", 1);
        answer.splice(2..8, [0x81, 0x80, 0, 1, 0, 2]);
        answer.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 2, 0xc0, 12]);
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 7]);
        assert_eq!(addresses(&answer), Some(vec![IpAddr::from([192, 0, 2, 7])]));
        for length in 0..answer.len() {
            assert_eq!(addresses(&answer[..length]), None, "{length} bytes");
        }
    }
}
