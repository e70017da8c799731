//! A device with several queues, each with a thread and a stack of its own.

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt as _;
use std::sync::Mutex;
use std::time::Duration;

use vpnm_wire::{Affinity, VNET_LENGTH, protocol};

use crate::conduct::compare;
use crate::connections::eight_megabytes;
use crate::datagrams::{ANSWER, answers_ping, datagrams_come_back};
use crate::exchange::{connect, echo, exchange_in, or_skip};
use crate::socks::{run_engine, world_with_queues};
use crate::world::{self, CLIENT, LINK, Namespace, Queues, SERVER, World};

/// With the kernel's help and without: then packets arrive anywhere.
const WAYS: [Queues; 2] = [Queues::Steered(4), Queues::Spread(4)];

#[test]
fn both_ends_see_what_they_would_without_the_engine_and_its_queues() {
    for queues in WAYS {
        let Some(world) = world_with_queues(queues) else {
            return;
        };
        compare(&world);
    }
}

#[test]
fn thousands_of_connections_share_four_queues() {
    for queues in WAYS {
        let Some(world) = world_with_queues(queues) else {
            return;
        };
        for host in SERVER {
            let listener = world.net.run(move || TcpListener::bind((host, 0)).unwrap());
            let address = listener.local_addr().unwrap();
            world.net.spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    std::thread::spawn(move || echo(stream));
                }
            });
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    world
                        .app
                        .spawn(move || (0..150).for_each(|_| say_hello(address)))
                })
                .collect();
            for client in clients {
                client.join().unwrap();
            }
        }
        exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
    }
}

fn say_hello(address: SocketAddr) {
    let mut stream = connect(address);
    stream.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"hello");
}

#[test]
fn datagrams_of_every_size_pass_and_pings_are_answered() {
    for queues in WAYS {
        let Some(world) = world_with_queues(queues) else {
            return;
        };
        // Each time from another port, and with that through other queues.
        for _ in 0..4 {
            datagrams_come_back(&world);
        }
        let hosts = SERVER.map(|host| host.parse().unwrap());
        let ping = move || hosts.map(|host| answers_ping(host, ANSWER));
        let answered = world.app.run(ping);
        assert_eq!(answered, [true; 2], "{queues:?}");
    }
}

#[test]
fn one_socket_is_one_address_to_all_it_talks_to() {
    for queues in WAYS {
        let Some(world) = world_with_queues(queues) else {
            return;
        };
        for host in SERVER {
            one_address(&world, host);
        }
    }
}

fn one_address(world: &World, host: &'static str) {
    let server = move || {
        let server = UdpSocket::bind((host, 0)).unwrap();
        server.set_read_timeout(PATIENCE).unwrap();
        server
    };
    let servers: Vec<UdpSocket> = (0..64).map(|_| world.net.run(server)).collect();
    let addresses = servers.iter().map(|server| server.local_addr().unwrap());
    let addresses: Vec<SocketAddr> = addresses.collect();
    let any = if host.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let client = world.app.run(move || UdpSocket::bind(any).unwrap());
    client.set_read_timeout(PATIENCE).unwrap();
    let mut seen = BTreeSet::new();
    let mut heard = BTreeSet::new();
    let mut buffer = [0; 8];
    for (server, address) in servers.iter().zip(&addresses) {
        client.send_to(b"there?", address).unwrap();
        let (_, mapped) = server.recv_from(&mut buffer).unwrap();
        seen.insert(mapped);
        server.send_to(b"here", mapped).unwrap();
        heard.insert(client.recv_from(&mut buffer).unwrap().1);
    }
    assert_eq!(seen.len(), 1, "{host}: {seen:?}");
    assert_eq!(heard, addresses.into_iter().collect());
    // One that was never asked may speak to it, too.
    let stranger = world.net.run(server);
    let mapped = seen.pop_first().expect("there is one");
    stranger.send_to(b"hello", mapped).unwrap();
    let (_, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(from, stranger.local_addr().unwrap());
}

const PATIENCE: Option<Duration> = Some(Duration::from_secs(5));

#[test]
fn queues_without_work_are_not_woken() {
    let Some(world) = world_with_queues(Queues::Steered(4)) else {
        return;
    };
    exchange_in(&world, echo, eight_megabytes, |equal| assert!(equal));
    let threads = threads_in(&world.net);
    assert_eq!(threads.len(), 4);
    let wakes = || {
        threads
            .iter()
            .map(|path| switches(path))
            .collect::<Vec<_>>()
    };
    // What the connections have left behind is seen to; then there is nothing to do, and
    // the test runner's own limit is the only one.
    let mut before = wakes();
    loop {
        std::thread::sleep(Duration::from_secs(3));
        let now = wakes();
        if now == before {
            return;
        }
        before = now;
    }
}

/// The engine's threads in a namespace, of which there are others in other tests.
fn threads_in(namespace: &Namespace) -> Vec<String> {
    let namespace = std::fs::metadata(namespace.path()).unwrap().st_ino();
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let paths = tasks.map(|task| task.unwrap().path().display().to_string());
    paths
        .filter(|path| {
            let name = std::fs::read_to_string(format!("{path}/comm"));
            let there = std::fs::metadata(format!("{path}/ns/net"));
            name.is_ok_and(|name| name == "queue\n")
                && there.is_ok_and(|there| there.st_ino() == namespace)
        })
        .collect()
}

/// How often a thread has gone to sleep.
fn switches(path: &str) -> String {
    let status = std::fs::read_to_string(format!("{path}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("voluntary"));
    line.expect("the kernel counts").to_owned()
}

#[test]
fn all_queues_end_with_the_device() {
    static ENDED: Mutex<Option<io::ErrorKind>> = Mutex::new(None);
    let serve = |queues: Vec<OwnedFd>| {
        let ended = run_engine(queues).expect_err("only an error ends it");
        *ENDED.lock().unwrap() = Some(ended.kind());
    };
    let Some(world) = or_skip(World::start_with_queues(Queues::Steered(3), serve)) else {
        return;
    };
    world
        .app
        .run(|| world::ip(&format!("link del {LINK}")).unwrap());
    // The test runner's own limit is the only one.
    while ENDED.lock().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_kernel_puts_packets_where_they_belong() {
    static ARRIVED: Mutex<Vec<(u32, u8, Affinity)>> = Mutex::new(Vec::new());
    let Some(world) = or_skip(World::start_with_queues(Queues::Steered(4), |queues| {
        let threads: Vec<_> = (0..)
            .zip(queues)
            .map(|(at, queue)| record(at, queue))
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    })) else {
        return;
    };
    fn record(at: u32, queue: OwnedFd) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            let mut buffer = vec![0; 70_000];
            loop {
                match rustix::io::read(&queue, &mut buffer) {
                    Ok(count) => {
                        let packet = &buffer[VNET_LENGTH..count];
                        let kind = if packet[0] >> 4 == 4 {
                            packet[9]
                        } else {
                            packet[6]
                        };
                        if let Some(affinity) = Affinity::of(packet) {
                            ARRIVED.lock().unwrap().push((at, kind, affinity));
                        }
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(2)),
                }
            }
        })
    }
    world.app.run(send_of_everything);
    let kinds = [
        protocol::TCP,
        protocol::UDP,
        protocol::ICMP,
        protocol::ICMPV6,
        44,
    ];
    let count = |kind: u8, part: bool| {
        let arrived = ARRIVED.lock().unwrap();
        let of_kind = arrived.iter().filter(|(_, of, affinity)| {
            *of == kind && part == matches!(affinity, Affinity::Part(_))
        });
        of_kind.count()
    };
    // The test runner's own limit is the only one.
    while !(kinds.iter().all(|kind| count(*kind, *kind == 44) >= 16)
        && count(protocol::UDP, true) >= 16)
    {
        std::thread::sleep(Duration::from_millis(5));
    }
    let queues = NonZeroU32::new(4).unwrap();
    for (at, kind, affinity) in ARRIVED.lock().unwrap().iter() {
        assert_eq!(affinity.queue(queues), *at, "{kind} {affinity:?}");
    }
}

/// Connections, datagrams whole and in parts, and pings, of both families.
fn send_of_everything() {
    for (host, own) in SERVER.into_iter().zip(CLIENT) {
        for _ in 0..32 {
            let datagrams = UdpSocket::bind((own, 0)).unwrap();
            for size in [10, 4_000] {
                datagrams.send_to(&vec![0; size], (host, 4_000)).unwrap();
            }
            let target = SocketAddr::new(host.parse().unwrap(), 4_000);
            let refused = TcpStream::connect_timeout(&target, Duration::from_millis(1));
            assert!(refused.is_err(), "nobody is there");
        }
        ping_often(host, own);
    }
}

fn ping_often(host: &str, own: &str) {
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};
    let (family, kind, request) = match host.contains(':') {
        false => (AddressFamily::INET, ipproto::ICMP, 8),
        true => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let ping = UdpSocket::from(socket(family, SocketType::RAW, Some(kind)).unwrap());
    rustix::net::bind(&ping, &SocketAddr::new(own.parse().unwrap(), 0)).unwrap();
    ping.connect((host, 0)).unwrap();
    for identifier in 0..32 {
        ping.send(&[request, 0, 0, 0, 0, identifier, 0, 1]).unwrap();
    }
}
