//! The engine alone, in front of a SOCKS 5 proxy (RFC 1928).

use std::io::{self, Read as _, Write as _};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use vpnm_engine::tun2socks::{self, Bypass, Options, Proxy};

use crate::connections::eight_megabytes;
use crate::datagrams::datagrams_come_back;
use crate::exchange::{echo, exchange_in, world_of};
use crate::world::{Queue, SERVER, World};

const PROXY: ([u8; 4], u16) = ([10, 99, 0, 1], 1080);
/// A port that the proxy never says anything about.
const SILENT: u16 = 6_666;
/// Whether a client of the proxy that wanted that port has gone.
static GAVE_UP: AtomicBool = AtomicBool::new(false);

/// A world whose engine sends everything through a proxy among the servers.
pub(crate) fn world() -> Option<World> {
    let serve = |tun: OwnedFd| {
        let proxy = Proxy {
            address: SocketAddr::from(PROXY),
            credentials: None,
            bypass: Bypass::None,
        };
        let options = Options {
            // Longer than any test waits: what ends earlier ended for another reason.
            handshake: Duration::from_secs(3_600),
            ..Options::new(proxy)
        };
        let ended = tun2socks::run(tun, options);
        panic!("the engine ended: {ended:?}");
    };
    let world = world_of(Queue::Offload, serve)?;
    let listener = world
        .net
        .run(|| TcpListener::bind(SocketAddr::from(PROXY)).unwrap());
    world.net.spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || proxy(stream).ok());
        }
    });
    Some(world)
}

/// Serves one client.
fn proxy(mut client: TcpStream) -> io::Result<()> {
    let mut methods = [0; 2];
    client.read_exact(&mut methods)?;
    client.read_exact(&mut vec![0; usize::from(methods[1])])?;
    client.write_all(&[5, 0])?;
    let mut request = [0; 3];
    client.read_exact(&mut request)?;
    let target = read_address(&mut client)?;
    match request[1] {
        1 if target.port() == SILENT => {
            let ended = client.read(&mut [0]).map(drop);
            GAVE_UP.store(true, Ordering::Release);
            ended
        }
        1 => connect(client, target),
        3 => associate(client),
        other => panic!("command {other}"),
    }
}

fn read_address(from: &mut impl io::Read) -> io::Result<SocketAddr> {
    let mut kind = [0];
    from.read_exact(&mut kind)?;
    let ip: IpAddr = if kind == [1] {
        let mut octets = [0; 4];
        from.read_exact(&mut octets)?;
        Ipv4Addr::from(octets).into()
    } else {
        let mut octets = [0; 16];
        from.read_exact(&mut octets)?;
        Ipv6Addr::from(octets).into()
    };
    let mut port = [0; 2];
    from.read_exact(&mut port)?;
    Ok(SocketAddr::new(ip, u16::from_be_bytes(port)))
}

fn write_address(address: SocketAddr, to: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => {
            to.push(1);
            to.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            to.push(4);
            to.extend(ip.octets());
        }
    }
    to.extend(address.port().to_be_bytes());
}

fn reply(client: &mut TcpStream, code: u8, address: SocketAddr) -> io::Result<()> {
    let mut message = vec![5, code, 0];
    write_address(address, &mut message);
    client.write_all(&message)
}

fn connect(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = match TcpStream::connect(target) {
        Ok(server) => server,
        Err(error) => {
            // RFC 1928 section 6.
            let code = match error.kind() {
                io::ErrorKind::NetworkUnreachable => 3,
                io::ErrorKind::HostUnreachable => 4,
                _ => 5,
            };
            return reply(&mut client, code, target);
        }
    };
    reply(&mut client, 0, server.local_addr()?)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || pass(&from, &to));
    pass(&server, &client);
    up.join().ok();
    Ok(())
}

/// Passes on what one side sends, its end as an end and its reset as a reset.
fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let ended = io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write));
    if ended.is_err() {
        // Takes the connection apart at once, whoever else holds it.
        for stream in [from, to] {
            rustix::net::connect_unspec(stream).ok();
        }
    }
}

/// Relays datagrams of one client until its control stream ends.
fn associate(mut client: TcpStream) -> io::Result<()> {
    let inside = UdpSocket::bind((SERVER[0], 0))?;
    let outside = UdpSocket::bind("[::]:0")?;
    reply(&mut client, 0, inside.local_addr()?)?;
    let (from, to) = (inside.try_clone()?, outside.try_clone()?);
    thread::spawn(move || up(&from, &to));
    thread::spawn(move || down(&outside, &inside));
    client.read(&mut [0]).map(drop)
}

fn up(client: &UdpSocket, servers: &UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        let (count, peer) = client.recv_from(&mut buffer)?;
        client.connect(peer)?;
        let mut rest = &buffer[3..count];
        let target = read_address(&mut rest)?;
        let ip = match target.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        servers.send_to(rest, (ip, target.port()))?;
    }
}

fn down(servers: &UdpSocket, client: &UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        let (count, from) = servers.recv_from(&mut buffer)?;
        let mut message = vec![0; 3];
        write_address(
            SocketAddr::new(from.ip().to_canonical(), from.port()),
            &mut message,
        );
        message.extend(&buffer[..count]);
        client.send(&message)?;
    }
}

#[test]
fn connections_go_through_the_proxy() {
    let Some(world) = world() else { return };
    exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
    for host in SERVER {
        let outcome = world.app.run(move || {
            let outcome = TcpStream::connect((host, 9));
            outcome.map(drop).map_err(|error| error.kind())
        });
        assert_eq!(outcome, Err(io::ErrorKind::ConnectionRefused), "{host}");
    }
}

#[test]
fn datagrams_go_through_the_proxy() {
    let Some(world) = world() else { return };
    datagrams_come_back(&world);
}

#[test]
fn an_application_that_gives_up_is_not_dialled_for_any_longer() {
    let Some(world) = world() else { return };
    let outcome = world.app.run(|| {
        let target = SocketAddr::from((PROXY.0, SILENT));
        TcpStream::connect_timeout(&target, Duration::from_millis(200)).map(drop)
    });
    let kind = outcome.map_err(|error| error.kind());
    assert_eq!(kind, Err(io::ErrorKind::TimedOut));
    // The test runner's own limit is the only one.
    while !GAVE_UP.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(5));
    }
}
