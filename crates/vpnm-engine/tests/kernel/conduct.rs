//! What both ends of a connection see, with the engine between them and without: the
//! same, cell by cell.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::{SendFlags, sockopt};

use crate::connections::reset;
use crate::exchange::{connect, pattern, world};
use crate::socks;
use crate::world::{Namespace, SERVER, World};

/// Below all ports that the kernel gives out, so that no other conversation gets it.
const CLOSED: u16 = 1;

/// One conversation: what each end does, and says of what it saw.
struct Cell {
    name: &'static str,
    /// Without a server the port is closed.
    serve: Option<fn(TcpStream) -> String>,
    ask: fn(SocketAddr) -> String,
}

const CELLS: [Cell; 15] = [
    Cell {
        name: "closed port",
        serve: None,
        ask: try_to_connect,
    },
    Cell {
        name: "no route",
        serve: None,
        ask: |address| match address {
            SocketAddr::V4(_) => try_to_connect(([203, 0, 113, 7], 80).into()),
            SocketAddr::V6(_) => try_to_connect("[2001:db8::7]:80".parse().unwrap()),
        },
    },
    Cell {
        name: "half-close by the client",
        serve: Some(|mut stream| {
            let request = read_all(&mut stream);
            std::thread::sleep(Duration::from_millis(300));
            stream.write_all(&pattern(1 << 20)).unwrap();
            request
        }),
        ask: |address| {
            let mut stream = connect(address);
            stream.write_all(&pattern(300_000)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            read_all(&mut stream)
        },
    },
    Cell {
        name: "half-close by the server",
        serve: Some(|mut stream| {
            stream.write_all(&pattern(65_536)).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            read_all(&mut stream)
        }),
        ask: |address| {
            let mut stream = connect(address);
            let seen = read_all(&mut stream);
            stream.write_all(&pattern(200_000)).unwrap();
            seen
        },
    },
    Cell {
        name: "end right behind the data",
        serve: Some(|mut stream| {
            stream.write_all(&pattern(70_000)).unwrap();
            String::new()
        }),
        ask: |address| read_all(&mut connect(address)),
    },
    Cell {
        name: "both end at once",
        serve: Some(end_at_once),
        ask: |address| end_at_once(connect(address)),
    },
    Cell {
        name: "reset by the server",
        serve: Some(|mut stream| {
            stream.read_exact(&mut [0]).unwrap();
            reset(stream);
            String::new()
        }),
        ask: |address| {
            let mut stream = connect(address);
            stream.write_all(b"x").unwrap();
            let read = read_all(&mut stream);
            format!("{read}, then {}", told(stream.write(b"x")))
        },
    },
    Cell {
        name: "reset by the server while the client sends",
        serve: Some(|mut stream| {
            stream.read_exact(&mut [0; 1_000]).unwrap();
            reset(stream);
            String::new()
        }),
        ask: |address| {
            let mut stream = connect(address);
            let error = std::iter::repeat_with(|| stream.write(&[7; 10_000])).find(Result::is_err);
            told(error.unwrap())
        },
    },
    Cell {
        name: "reset by the client",
        serve: Some(|mut stream| read_all(&mut stream)),
        ask: |address| {
            let mut stream = connect(address);
            stream.write_all(&pattern(1_000)).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            reset(stream);
            String::new()
        },
    },
    Cell {
        name: "client closes without having read",
        serve: Some(|mut stream| {
            stream.write_all(&pattern(50_000)).unwrap();
            read_all(&mut stream)
        }),
        ask: |address| {
            let stream = connect(address);
            stream.peek(&mut [0]).unwrap();
            String::new()
        },
    },
    Cell {
        name: "server closes without having read",
        serve: Some(|stream| {
            stream.peek(&mut [0]).unwrap();
            String::new()
        }),
        ask: |address| {
            let mut stream = connect(address);
            stream.write_all(b"never read").unwrap();
            read_all(&mut stream)
        },
    },
    Cell {
        name: "server that reads late",
        serve: Some(|mut stream| {
            std::thread::sleep(Duration::from_secs(2));
            // Who is so slow that it still sends stops now.
            stream.write_all(b".").unwrap();
            std::thread::sleep(Duration::from_millis(300));
            let count = io::copy(&mut stream, &mut io::sink()).unwrap();
            stream.write_all(&count.to_be_bytes()).unwrap();
            String::new()
        }),
        ask: send_until_stopped,
    },
    Cell {
        name: "urgent byte, read in line",
        serve: Some(|mut stream| {
            sockopt::set_socket_oobinline(&stream, true).unwrap();
            stream.write_all(b"!").unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            String::from_utf8(all).unwrap()
        }),
        ask: |address| {
            let mut stream = connect(address);
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"ab").unwrap();
            rustix::net::send(&stream, b"c", SendFlags::OOB).unwrap();
            stream.write_all(b"d").unwrap();
            String::new()
        },
    },
    Cell {
        name: "idle and kept alive",
        serve: Some(to_and_fro),
        ask: |address| {
            let stream = connect(address);
            sockopt::set_socket_keepalive(&stream, true).unwrap();
            sockopt::set_tcp_keepidle(&stream, Duration::from_secs(1)).unwrap();
            sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(1)).unwrap();
            sockopt::set_tcp_keepcnt(&stream, 1).unwrap();
            std::thread::sleep(Duration::from_millis(2_500));
            to_and_fro(stream)
        },
    },
    Cell {
        name: "to and fro",
        serve: Some(to_and_fro),
        ask: |address| to_and_fro(connect(address)),
    },
];

fn told<T>(outcome: io::Result<T>) -> String {
    match outcome {
        Ok(_) => "no error".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn try_to_connect(address: SocketAddr) -> String {
    told(TcpStream::connect(address))
}

/// Reads to the end; how much came, whether it was right, and how it ended.
fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let ended = stream.read_to_end(&mut all).map(drop);
    let right = all == pattern(all.len());
    match ended {
        // How much a reset overtakes is a matter of luck.
        Err(error) => format!("{:?}", error.kind()),
        Ok(()) => format!("{} bytes, right: {right}", all.len()),
    }
}

fn end_at_once(mut stream: TcpStream) -> String {
    stream.write_all(&pattern(10)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_all(&mut stream)
}

fn to_and_fro(mut stream: TcpStream) -> String {
    for _ in 0..50 {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    "fifty times".to_owned()
}

/// Sends for as long as anything is taken and the server does not say that it begins to
/// read; whether that had an end and all of it came.
fn send_until_stopped(address: SocketAddr) -> String {
    let mut stream = connect(address);
    let patience = Some(Duration::from_millis(500));
    stream.set_write_timeout(patience).unwrap();
    let mut sent = 0_u64;
    while sent < 256 << 20
        && rustix::io::ioctl_fionread(&stream).unwrap() == 0
        && let Ok(count) = stream.write(&[0; 65_536])
    {
        sent += u64::try_from(count).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let mut received = [0; 8];
    stream.read_exact(&mut received).unwrap();
    let bounded = sent < 64 << 20;
    let complete = u64::from_be_bytes(received) == sent;
    format!("bounded: {bounded}, complete: {complete}")
}

/// Has one cell played by both ends.
fn play(cell: &Cell, host: &'static str, servers: &Namespace, clients: &Namespace) -> Playing {
    let (sender, seen) = sync_channel(1);
    let address = match cell.serve {
        None => (host, CLOSED).to_socket_addrs().unwrap().next().unwrap(),
        Some(serve) => {
            let listener = servers.run(move || TcpListener::bind((host, 0)).unwrap());
            let address = listener.local_addr().unwrap();
            servers.spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                sender.send(serve(stream)).unwrap();
            });
            address
        }
    };
    let ask = cell.ask;
    let client = clients.spawn(move || ask(address));
    Playing { client, seen }
}

struct Playing {
    client: JoinHandle<String>,
    seen: Receiver<String>,
}

/// All cells over both families, as a table.
fn table(servers: &Namespace, clients: &Namespace) -> String {
    let mut table = String::new();
    for (host, family) in SERVER.into_iter().zip(["IPv4", "IPv6"]) {
        let playing: Vec<_> = CELLS
            .iter()
            .map(|cell| play(cell, host, servers, clients))
            .collect();
        for (cell, playing) in CELLS.iter().zip(playing) {
            let client = playing.client.join().expect("the client came to an end");
            let server = match cell.serve {
                None => String::new(),
                Some(_) => playing.seen.recv().expect("the server came to an end"),
            };
            writeln!(
                table,
                "{family} {}: client [{client}], server [{server}]",
                cell.name
            )
            .unwrap();
        }
    }
    table
}

/// Compares the ends' views through the world's engine with those without any.
pub(crate) fn compare(world: &World) {
    let direct = table(&world.net, &world.net);
    let through = table(&world.net, &world.app);
    assert!(
        direct == through,
        "direct:\n{direct}\nthrough the engine:\n{through}"
    );
}

#[test]
fn both_ends_see_what_they_would_without_the_engine() {
    let Some(world) = world() else { return };
    compare(&world);
}

#[test]
fn both_ends_see_what_they_would_without_the_proxy() {
    let Some(world) = socks::world() else { return };
    compare(&world);
}
