//! What breaks on one side must not look finished on the other.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use vpnm_world::addresses::SITE;
use vpnm_world::internet::Carrier;

use super::SECOND;
use crate::ensure;
use crate::station::{Outcome, Station};

/// A port nobody else has.
const PORT: u16 = 7_777;

/// A reset by either end is a reset to the other, over every carrier of our own server.
pub(super) fn aborts() -> Outcome {
    for carrier in [Carrier::Tcp, Carrier::Tls] {
        let mut station = Station::build(carrier)?;
        station.connect()?;
        for (who, ends) in [
            ("the application", ends_by_application(&station)?),
            ("the site", ends_by_site(&station)?),
        ] {
            ensure(ends == Err(io::ErrorKind::ConnectionReset), || {
                format!("{carrier:?}: when {who} breaks off, the other side sees {ends:?}")
            })?;
        }
    }
    Ok(())
}

/// What the site reads after the application has broken off.
fn ends_by_application(station: &Station) -> Outcome<Result<usize, io::ErrorKind>> {
    let (near, mut far) = flow(station)?;
    break_off(near)?;
    Ok(far.read(&mut [0]).map_err(|error| error.kind()))
}

/// What the application reads after the site has broken off.
fn ends_by_site(station: &Station) -> Outcome<Result<usize, io::ErrorKind>> {
    let (mut near, far) = flow(station)?;
    break_off(far)?;
    Ok(near.read(&mut [0]).map_err(|error| error.kind()))
}

/// A connection through the tunnel that has carried bytes both ways, and its far end.
fn flow(station: &Station) -> Outcome<(TcpStream, TcpStream)> {
    let address = SocketAddr::from((SITE.v4, PORT));
    let site = station.world.internet();
    let listener = site.run(|| TcpListener::bind(address))?;
    let mut near = station.visit(|| TcpStream::connect_timeout(&address, 5 * SECOND))?;
    near.write_all(b"begun")?;
    let (mut far, _) = listener.accept()?;
    far.read_exact(&mut [0; 5])?;
    far.write_all(b"seen")?;
    near.set_read_timeout(Some(20 * SECOND))?;
    far.set_read_timeout(Some(20 * SECOND))?;
    near.read_exact(&mut [0; 4])?;
    Ok((near, far))
}

fn break_off(stream: TcpStream) -> Outcome {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}
