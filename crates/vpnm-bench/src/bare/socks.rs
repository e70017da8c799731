//! As much of SOCKS 5 (RFC 1928) as the proxy here asks for.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};

use crate::place::{PROXY, PROXY_PORT};

/// Where the proxy listens, and where it relays datagrams, whoever asked.
pub(super) const ADDRESS: SocketAddrV4 = SocketAddrV4::new(PROXY, PROXY_PORT);

/// Bytes in front of each datagram.
pub(super) const HEADER: usize = 10;

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;

/// Connects to a service through the proxy.
pub(super) fn connect(service: SocketAddrV4) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(ADDRESS)?;
    stream.set_nodelay(true)?;
    stream.write_all(&[VERSION, 1, 0])?;
    stream.read_exact(&mut [0; 2])?;
    stream.write_all(&addressed([VERSION, CONNECT, 0, IPV4], service))?;
    let mut reply = [0; HEADER];
    stream.read_exact(&mut reply)?;
    match reply {
        [VERSION, 0, ..] => Ok(stream),
        _ => Err(io::ErrorKind::ConnectionRefused.into()),
    }
}

/// What is in front of a datagram to a service (section 7).
pub(super) fn header(service: SocketAddrV4) -> [u8; HEADER] {
    addressed([0, 0, 0, IPV4], service)
}

/// `start`, and an address as it follows the byte that says IPv4.
fn addressed(start: [u8; 4], service: SocketAddrV4) -> [u8; HEADER] {
    let ([a, b, c, d], [e, f, g, h]) = (start, service.ip().octets());
    let [high, low] = service.port().to_be_bytes();
    [a, b, c, d, e, f, g, h, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_the_service() {
        let service = "10.99.0.1:8080".parse().unwrap();
        assert_eq!(header(service), [0, 0, 0, 1, 10, 99, 0, 1, 0x1f, 0x90]);
    }
}
