//! The process that reads what the network sends has no right it could lose, and
//! nobody can call any of ours from the network.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::harness::Case;
use vpnm_lab::machine::{need, shell, status_field};
use vpnm_lab::session::Session;
use vpnm_world::addresses::CLIENT;

/// The cases of this file.
pub(crate) fn cases<'a>() -> Vec<Case<'a>> {
    vec![
        engine(),
        Case::new("nothing of ours answers the network", |_| listeners()),
    ]
}

/// Longest an answer could take that must not come.
const PATIENCE: Duration = Duration::from_millis(500);
/// A query for the root's name servers (RFC 1035, section 4.1).
const QUERY: [u8; 17] = *b"\x76\x70\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";

/// Commands come by a Unix socket; what is bound to addresses takes the queries of
/// this host and of nobody else.
fn listeners() -> Result<()> {
    need(&["ss"])?;
    let mut session = Session::begin(None)?;
    let before = bound(&session)?;
    session.start_daemon()?;
    session.connect()?;
    session.check_tunnel()?;
    let mut ports = bound(&session)?;
    ports.retain(|port| !before.contains(port));
    ensure!(!ports.is_empty(), "queries are taken nowhere");
    is_unheard(&session, &ports)?;
    let leaks = session.capture().tally()?;
    ensure!(leaks.leaked() == 0, "{:?}", leaks.leaks);
    session.command(&["disconnect"])?;
    // The packet filter is gone, what is bound may stay.
    is_unheard(&session, &ports).context("after disconnecting")?;
    session.end_daemon()?;
    session.check_restored()
}

/// Ports bound on the client: TCP that listens, UDP that is not connected.
fn bound(session: &Session) -> Result<BTreeSet<u16>> {
    let list = shell(session.client(), "ss -Hlntu | awk '{print $5}'")?;
    let port = |address: &str| address.rsplit_once(':')?.1.parse().ok();
    Ok(list.lines().filter_map(port).collect())
}

fn is_unheard(session: &Session, ports: &BTreeSet<u16>) -> Result<()> {
    for port in ports {
        for address in CLIENT.both() {
            let server = SocketAddr::new(address, *port);
            let heard = session.world().router().run(|| Ok(is_heard(server)))?;
            ensure!(!heard, "the network is answered at {server}");
        }
    }
    Ok(())
}

/// Whether a connection comes about, or a query is answered.
fn is_heard(server: SocketAddr) -> bool {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let asked = || -> io::Result<usize> {
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(&QUERY, server)?;
        socket.recv(&mut [0; 512])
    };
    TcpStream::connect_timeout(&server, PATIENCE).is_ok() || asked().is_ok()
}

/// The engine's own case.
fn engine<'a>() -> Case<'a> {
    Case::new("engine without rights", |_| {
        let mut session = Session::begin(None)?;
        session.start_daemon()?;
        session.connect()?;
        let engine = session.engine_pid()?;
        // Real, effective, saved and file system id: the user _vpnm and nobody else.
        let mut expected = vec![("Groups", String::new())];
        expected.extend(["Uid", "Gid"].map(|name| (name, ["7670"; 4].join("\t"))));
        let none = "0".repeat(16);
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        expected.extend(sets.map(|name| (name, none.clone())));
        expected.extend([("NoNewPrivs", "1".to_owned()), ("Seccomp", "2".to_owned())]);
        for (name, wanted) in expected {
            let found = status_field(engine, name)?;
            ensure!(
                found == wanted,
                "{name} of the engine is {found:?}, not {wanted:?}"
            );
        }
        session.check_tunnel()?;
        session.end().map(drop)
    })
}
