//! What the cases have in common: the world, and one conversation in it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::direct;
use crate::world::{Queue, SERVER, World};

/// The world, unless this machine does not allow it.
pub(crate) fn world() -> Option<World> {
    world_with(Queue::Offload)
}

pub(crate) fn world_with(queue: Queue) -> Option<World> {
    world_of(queue, direct::serve)
}

pub(crate) fn world_of(queue: Queue, engine: fn(OwnedFd)) -> Option<World> {
    or_skip(World::start(queue, engine))
}

/// The world, unless this machine does not allow it.
pub(crate) fn or_skip(started: io::Result<World>) -> Option<World> {
    match started {
        Ok(world) => Some(world),
        Err(error) => {
            let required = std::env::var_os("VPNM_LAB").is_some_and(|value| value == "require");
            assert!(!required, "no namespaces or TUN devices: {error}");
            println!("SKIP needs root and /dev/net/tun: {error}");
            None
        }
    }
}

/// Runs `serve` with every connection to a port of the servers' namespace, and `ask`
/// with the address among the applications; for both families.
pub(crate) fn exchange<T: Send + 'static>(
    serve: fn(TcpStream),
    ask: fn(SocketAddr) -> T,
    check: impl Fn(T),
) {
    let Some(world) = world() else { return };
    exchange_in(&world, serve, ask, check);
}

pub(crate) fn exchange_in<T: Send + 'static>(
    world: &World,
    serve: fn(TcpStream),
    ask: fn(SocketAddr) -> T,
    check: impl Fn(T),
) {
    for host in SERVER {
        let listener = world.net.run(move || TcpListener::bind((host, 0)).unwrap());
        let address = listener.local_addr().unwrap();
        world.net.spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                std::thread::spawn(move || serve(stream));
            }
        });
        check(world.app.run(move || ask(address)));
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap())
        .collect()
}

pub(crate) fn echo(mut stream: TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    io::copy(&mut reader, &mut stream).ok();
    stream.shutdown(Shutdown::Write).ok();
}
