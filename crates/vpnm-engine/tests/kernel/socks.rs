//! The engine alone, in front of a SOCKS 5 proxy (RFC 1928).

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket,
};
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use vpnm_engine::tun2socks::{self, Bypass, Options, Proxy};

use crate::connections::eight_megabytes;
use crate::datagrams::{connected, datagrams_come_back, echo_datagrams, trains_come_back};
use crate::exchange::{echo, exchange_in, or_skip, world_of};
use crate::world::{Queue, Queues, SERVER, World};

const PROXY: ([u8; 4], u16) = ([10, 99, 0, 1], 1080);
/// A port that the proxy never says anything about.
const SILENT: u16 = 6_666;
/// Whether a client of the proxy that wanted that port has gone.
static GAVE_UP: AtomicBool = AtomicBool::new(false);
/// Control streams of associations that share a relay.
static SHARING: AtomicUsize = AtomicUsize::new(0);

/// How a proxy serves the two commands.
#[derive(Clone, Copy)]
pub(crate) struct Conduct {
    pub(crate) connect: fn(TcpStream, SocketAddr) -> io::Result<()>,
    pub(crate) associate: fn(TcpStream) -> io::Result<()>,
}

pub(crate) const HONEST: Conduct = Conduct { connect, associate };

/// A world whose engine sends everything through a proxy among the servers.
pub(crate) fn world() -> Option<World> {
    behind(HONEST)
}

/// The same with a proxy that behaves like this.
pub(crate) fn behind(conduct: Conduct) -> Option<World> {
    let world = without_a_proxy()?;
    start_proxy(&world, conduct);
    Some(world)
}

/// The same before the proxy is started.
pub(crate) fn without_a_proxy() -> Option<World> {
    world_of(Queue::Offload, |tun| serve(vec![tun]))
}

/// A world whose engine serves a device with several queues.
pub(crate) fn world_with_queues(queues: Queues) -> Option<World> {
    let world = or_skip(World::start_with_queues(queues, serve))?;
    start_proxy(&world, HONEST);
    Some(world)
}

/// Runs the engine, whose device is never to go.
pub(crate) fn serve(queues: Vec<OwnedFd>) {
    let ended = run_engine(queues);
    panic!("the engine ended: {ended:?}");
}

pub(crate) fn run_engine(queues: Vec<OwnedFd>) -> io::Result<()> {
    tun2socks::run(queues, options())
}

fn options() -> Options {
    let proxy = Proxy::new(SocketAddr::from(PROXY), None, Bypass::None);
    Options {
        // Longer than any test waits: what ends earlier ended for another reason.
        handshake: Duration::from_secs(3_600),
        ..Options::new(proxy)
    }
}

pub(crate) fn start_proxy(world: &World, conduct: Conduct) {
    world.net.run(move || start_proxy_here(conduct));
}

/// Starts it in the thread's namespace.
pub(crate) fn start_proxy_here(conduct: Conduct) {
    let listener = TcpListener::bind(SocketAddr::from(PROXY)).unwrap();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            thread::spawn(move || proxy(stream, conduct).ok());
        }
    });
}

/// Serves one client.
fn proxy(mut client: TcpStream, conduct: Conduct) -> io::Result<()> {
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
        1 => (conduct.connect)(client, target),
        3 => (conduct.associate)(client),
        _ => reply(&mut client, 7, target),
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

pub(crate) fn reply(client: &mut TcpStream, code: u8, address: SocketAddr) -> io::Result<()> {
    let mut message = vec![5, code, 0];
    write_address(address, &mut message);
    client.write_all(&message)
}

pub(crate) fn connect(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = match TcpStream::connect(target) {
        Ok(server) => server,
        Err(error) => {
            // RFC 1928 section 6.
            let codes = [
                (io::ErrorKind::NetworkUnreachable, 3),
                (io::ErrorKind::HostUnreachable, 4),
            ];
            let known = codes.iter().find(|(kind, _)| *kind == error.kind());
            let code = known.map_or(5, |(_, code)| *code);
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
    thread::spawn(move || down(&outside, |message| inside.send(message)));
    client.read(&mut [0]).map(drop)
}

fn up(client: &UdpSocket, servers: &UdpSocket) -> io::Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        let (count, peer) = client.recv_from(&mut buffer)?;
        client.connect(peer)?;
        pass_datagram(&buffer[..count], servers)?;
    }
}

fn pass_datagram(relayed: &[u8], servers: &UdpSocket) -> io::Result<()> {
    let mut rest = &relayed[3..];
    let target = read_address(&mut rest)?;
    let ip = match target.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    servers.send_to(rest, (ip, target.port())).map(drop)
}

fn down(servers: &UdpSocket, to_client: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<()> {
    let mut buffer = vec![0; 65_535];
    loop {
        let (count, from) = servers.recv_from(&mut buffer)?;
        let mut message = vec![0; 3];
        write_address(
            SocketAddr::new(from.ip().to_canonical(), from.port()),
            &mut message,
        );
        message.extend(&buffer[..count]);
        to_client(&message)?;
    }
}

/// Gives every client the same relay, and keeps its control stream open.
fn share(mut client: TcpStream) -> io::Result<()> {
    static RELAY: OnceLock<SocketAddr> = OnceLock::new();
    SHARING.fetch_add(1, Ordering::Release);
    reply(&mut client, 0, *RELAY.get_or_init(shared_relay))?;
    client.read(&mut [0]).map(drop)
}

/// A relay that tells its clients apart by their addresses.
fn shared_relay() -> SocketAddr {
    let inside = UdpSocket::bind((SERVER[0], 0)).unwrap();
    let address = inside.local_addr().unwrap();
    thread::spawn(move || {
        let mut clients = HashMap::new();
        let mut buffer = vec![0; 65_535];
        while let Ok((count, peer)) = inside.recv_from(&mut buffer) {
            let outside = clients.entry(peer).or_insert_with(|| {
                let outside = UdpSocket::bind("[::]:0").unwrap();
                let (from, to) = (outside.try_clone().unwrap(), inside.try_clone().unwrap());
                thread::spawn(move || down(&from, |message| to.send_to(message, peer)));
                outside
            });
            pass_datagram(&buffer[..count], outside).unwrap();
        }
    });
    address
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
fn the_first_datagram_already_tells_that_the_proxy_relays_none() {
    let conduct = Conduct {
        // Command not supported.
        associate: |mut client| reply(&mut client, 7, SocketAddr::from(PROXY)),
        ..HONEST
    };
    let Some(world) = behind(conduct) else { return };
    assert_datagrams_fail(&world, [io::ErrorKind::ConnectionRefused; 2]);
}

#[test]
fn all_datagrams_are_refused_where_none_are_wanted() {
    let without = |queue| {
        let mut options = options();
        options.udp = false;
        let ended = tun2socks::run(vec![queue], options);
        panic!("the engine ended: {ended:?}");
    };
    let Some(world) = world_of(Queue::Offload, without) else {
        return;
    };
    let prohibited = [
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::PermissionDenied,
    ];
    assert_datagrams_fail(&world, prohibited);
}

/// Asserts what an application is told of its first datagram to each server, be it a
/// query or not.
fn assert_datagrams_fail(world: &World, expected: [io::ErrorKind; 2]) {
    for (host, expected) in SERVER.into_iter().zip(expected) {
        for port in [9_000, 53] {
            let client = connected(world, SocketAddr::new(host.parse().unwrap(), port));
            client.send(b"anybody?").unwrap();
            let told = client.recv(&mut [0]).map_err(|error| error.kind());
            assert_eq!(told, Err(expected), "{host} {port}");
        }
    }
}

#[test]
fn trains_of_datagrams_come_back_in_order_through_the_proxy() {
    let Some(world) = world() else { return };
    trains_come_back(&world);
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

#[test]
fn sockets_share_a_relay_that_tells_them_apart() {
    let conduct = Conduct {
        associate: share,
        ..HONEST
    };
    let Some(world) = behind(conduct) else { return };
    let address = echo_datagrams(&world, SERVER[0]);
    let clients: Vec<UdpSocket> = (0..40)
        .map(|number: u8| {
            let client = connected(&world, address);
            assert_eq!(exchanged(&client, number), [number]);
            client
        })
        .collect();
    for (client, number) in clients.iter().zip(100..) {
        assert_eq!(exchanged(client, number), [number]);
    }
    // The second showed that the relay is shared; no other was needed.
    assert_eq!(SHARING.load(Ordering::Acquire), 2);
}

/// What comes back of a datagram.
fn exchanged(client: &UdpSocket, number: u8) -> Vec<u8> {
    client.send(&[number]).unwrap();
    let mut buffer = [0; 16];
    let count = client.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}
