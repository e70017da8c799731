//! UDP and pings.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use vpnm_wire::Checksum;

use crate::direct::MULTIPLIER;
use crate::exchange::{pattern, world, world_with};
use crate::world::{Queue, SERVER, World, send_in_segments};

#[test]
fn datagrams_of_every_size_come_back_whole() {
    let Some(world) = world() else { return };
    datagrams_come_back(&world);
}

pub(crate) fn datagrams_come_back(world: &World) {
    for host in SERVER {
        let address = echo_datagrams(world, host);
        let client = connected(world, address);
        let mut buffer = vec![0; 65_535];
        for size in [0, 1, 16, 1_200, 1_472, 1_473, 4_000, 9_000, 65_000] {
            let data = pattern(size);
            client.send(&data).unwrap();
            let count = client.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("{size} bytes to {host}: {error}");
            });
            assert!(buffer[..count] == data, "{size} bytes to {host}");
        }
    }
}

#[test]
fn trains_of_datagrams_come_back_in_order() {
    for queue in [Queue::Offload, Queue::Plain] {
        let Some(world) = world_with(queue) else {
            return;
        };
        trains_come_back(&world);
    }
}

/// Sizes in the order in which they are sent: runs of one size, with and without a shorter
/// last one, empty ones, and some that are too long for one packet.
fn trains() -> Vec<usize> {
    let mut sizes = vec![1_200; 10];
    sizes.extend([700, 1_200, 1_200, 0, 0, 64, 64, 1]);
    sizes.extend([1_472; 5]);
    sizes.extend([1_473, 4_000, 4_000, 65_000]);
    sizes.extend([1_400; 4]);
    sizes.extend([9_000, 3, 1_452, 1_453]);
    sizes
}

/// Sends datagrams without waiting for those before to come back.
pub(crate) fn trains_come_back(world: &World) {
    for host in SERVER {
        let client = connected(world, echo_datagrams(world, host));
        let mut buffer = vec![0; 65_535];
        let mut receive = |expected: &[u8], what: &str| {
            let count = client.recv(&mut buffer).unwrap_or_else(|error| {
                panic!("{what} of {} bytes to {host}: {error}", expected.len());
            });
            assert!(
                buffer[..count] == *expected,
                "{what}, {count} bytes, {host}"
            );
        };
        // Once the way is open nothing is lost.
        client.send(b"first").unwrap();
        receive(b"first", "the first");
        let train: Vec<_> = trains().into_iter().map(pattern).collect();
        for datagram in &train {
            client.send(datagram).unwrap();
        }
        for datagram in &train {
            receive(datagram, "one");
        }
        send_in_segments(&client, 1_000).unwrap();
        let joined = pattern(15_300);
        client.send(&joined).unwrap();
        for datagram in joined.chunks(1_000) {
            receive(datagram, "a joined one");
        }
    }
}

/// A server that sends every datagram back.
pub(crate) fn echo_datagrams(world: &World, host: &'static str) -> SocketAddr {
    let server = world.net.run(move || UdpSocket::bind((host, 0)).unwrap());
    let address = server.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_535];
        while let Ok((count, peer)) = server.recv_from(&mut buffer) {
            server.send_to(&buffer[..count], peer).ok();
        }
    });
    address
}

/// A socket among the applications, connected to `address`.
pub(crate) fn connected(world: &World, address: SocketAddr) -> UdpSocket {
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let client = world.app.run(move || UdpSocket::bind(any).unwrap());
    client.connect(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    client
}

#[test]
fn datagrams_that_travel_as_one_packet_are_told_apart() {
    let Some(world) = world() else { return };
    for host in SERVER {
        let server = world.net.run(move || UdpSocket::bind((host, 0)).unwrap());
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let client = connected(&world, server.local_addr().unwrap());
        send_in_segments(&client, 1_000).unwrap();
        let data = pattern(9_500);
        client.send(&data).unwrap();
        let mut buffer = [0; 2_000];
        for expected in data.chunks(1_000) {
            let count = server.recv(&mut buffer).unwrap();
            assert!(buffer[..count] == *expected, "{count} bytes from {host}");
        }
    }
}

#[test]
fn datagrams_sent_as_one_packet_arrive_one_by_one() {
    for queue in [Queue::Offload, Queue::Plain] {
        let Some(world) = world_with(queue) else {
            return;
        };
        for host in SERVER {
            let client = connected(&world, SocketAddr::new(host.parse().unwrap(), MULTIPLIER));
            let data = pattern(2_000);
            client.send(&data).unwrap();
            let mut buffer = [0; 2_000];
            for expected in [&data[..1_000], &data[1_000..], &data[..1_000]] {
                let count = client.recv(&mut buffer).unwrap();
                assert!(buffer[..count] == *expected, "{count} bytes from {host}");
            }
        }
    }
}

#[test]
fn a_closed_udp_port_is_reported() {
    let Some(world) = world() else { return };
    for (host, any) in SERVER.into_iter().zip(["0.0.0.0:0", "[::]:0"]) {
        let outcome = world.app.run(move || {
            let client = UdpSocket::bind(any).unwrap();
            client.connect((host, 9)).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(10)))
                .unwrap();
            client.send(b"x").unwrap();
            client.recv(&mut [0]).map_err(|error| error.kind())
        });
        assert_eq!(outcome, Err(io::ErrorKind::ConnectionRefused), "{host}");
    }
}

#[test]
fn queries_are_answered_whoever_they_are_for() {
    let Some(world) = world() else { return };
    let answer = world.app.run(|| {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.connect("203.0.113.53:53").unwrap();
        client.send(b"abc").unwrap();
        let mut buffer = [0; 16];
        let count = client.recv(&mut buffer).unwrap();
        buffer[..count].to_vec()
    });
    assert_eq!(answer, b"cba");
}

/// How long somebody's answer to a ping may take on a busy machine.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);
/// How long somebody who answers no ping is listened to.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);

/// Whether `host` answers a ping while it is waited for.
pub(crate) fn answers_ping(host: IpAddr, wait: Duration) -> bool {
    use rustix::net::{AddressFamily, SocketType, ipproto, socket};
    let (family, protocol, kind, reply) = match host {
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8, 0),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128, 129),
    };
    let ping = UdpSocket::from(socket(family, SocketType::RAW, Some(protocol)).unwrap());
    ping.set_read_timeout(Some(wait)).unwrap();
    ping.connect((host, 0)).unwrap();
    let mut request = *b"\0\0\0\0\x12\x34\0\x01some data";
    request[0] = kind;
    // For IPv6 the kernel itself fills it in.
    let mut sum = Checksum::new();
    sum.add(&request);
    request[2..4].copy_from_slice(&sum.finish());
    ping.send(&request).unwrap();
    let mut answer = [0; 128];
    while let Ok(count) = ping.recv(&mut answer) {
        let header = if host.is_ipv4() { 20 } else { 0 };
        let message = &answer[header..count];
        if message[0] == reply && message[4..] == request[4..] {
            return true;
        }
    }
    false
}

#[test]
fn only_hosts_that_are_there_answer_pings() {
    let Some(world) = world() else { return };
    let ping = |host: &str, wait| {
        let host = host.parse().unwrap();
        world.app.run(move || answers_ping(host, wait))
    };
    assert!(ping(SERVER[0], ANSWER));
    assert!(ping(SERVER[1], ANSWER));
    assert!(!ping("203.0.113.77", SILENCE));
}
