//! Traffic of another host, whose packets the applications' host forwards into the device:
//! one at a time, of the link's size, with checksums that nobody has checked.

use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::connections::eight_megabytes;
use crate::datagrams::{
    ANSWER, SILENCE, answers_ping, connected, datagrams_come_back, echo_datagrams,
};
use crate::exchange::{connect, echo, exchange_in, pattern, world};
use crate::world::{Namespace, SERVER, World, add_ipv6, ip};

/// The other host's applications, and the host that forwards for it.
struct Guests {
    world: World,
    gateway: Namespace,
}

fn guests() -> Option<Guests> {
    let world = world()?;
    let guest = Namespace::new().expect("another namespace can be made");
    let path = guest.path();
    world.app.run(move || {
        ip(&format!(
            "link add guest0 type veth peer name eth0 netns {path}"
        ))
        .unwrap();
        ip("addr add 10.97.0.1/24 dev guest0").unwrap();
        add_ipv6("fd97::1", 64, "guest0").unwrap();
        ip("link set guest0 up").unwrap();
        for setting in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            fs::write(format!("/proc/sys/net/{setting}"), "1").unwrap();
        }
    });
    guest.run(|| {
        ip("addr add 10.97.0.2/24 dev eth0").unwrap();
        add_ipv6("fd97::2", 64, "eth0").unwrap();
        ip("link set eth0 up").unwrap();
        ip("route add default via 10.97.0.1").unwrap();
        ip("-6 route add default via fd97::1").unwrap();
        run("ethtool -K eth0 tso off gso off tx off");
    });
    guest.run(|| wait_for_carrier("eth0"));
    world.app.run(|| wait_for_carrier("guest0"));
    let World { app, net } = world;
    Some(Guests {
        world: World { app: guest, net },
        gateway: app,
    })
}

/// Waits until the kernel passes on what is sent by a link of the thread's namespace: it
/// drops packets for a while after the link's other end came up.
fn wait_for_carrier(link: &str) {
    // The test runner's own limit is the only one.
    while !run(&format!("ip -oneline link show dev {link}")).contains("state UP") {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a program says that is run with its arguments in the thread's namespace.
fn run(command: &str) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn streams_of_another_host_come_back() {
    let Some(guests) = guests() else { return };
    exchange_in(&guests.world, echo, eight_megabytes, |equal| assert!(equal));
}

#[test]
fn streams_of_another_host_survive_loss() {
    let Some(guests) = guests() else { return };
    guests.gateway.run(|| {
        run("nft add table inet loss");
        run("nft add chain inet loss forward { type filter hook forward priority 0 ; }");
        run("nft add rule inet loss forward meta l4proto tcp numgen random mod 100 < 2 drop");
    });
    exchange_in(&guests.world, echo, eight_megabytes, |equal| assert!(equal));
}

#[test]
fn only_streams_of_another_host_carry_timestamps() {
    let Some(guests) = guests() else { return };
    let local = World {
        app: guests.gateway.duplicate(),
        net: guests.world.net.duplicate(),
    };
    for (world, stamped) in [(&guests.world, true), (&local, false)] {
        let ask = |address| {
            let stream = connect(address);
            let known = run(&format!("ss -tionO dst {address}"));
            drop(stream);
            known
        };
        exchange_in(world, echo, ask, |known| {
            assert!(known.contains(" sack "), "{known}");
            assert_eq!(known.contains(" ts sack "), stamped, "{known}");
        });
    }
}

#[test]
fn datagrams_of_another_host_come_back_whole() {
    let Some(guests) = guests() else { return };
    // Long ones travel as fragments on the way there and on the way back.
    datagrams_come_back(&guests.world);
}

#[test]
fn datagrams_to_another_host_pass_a_narrower_link() {
    let Some(guests) = guests() else { return };
    guests.gateway.run(|| run("ip link set guest0 mtu 1300"));
    guests.world.app.run(|| run("ip link set eth0 mtu 1300"));
    for host in SERVER {
        let client = connected(&guests.world, echo_datagrams(&guests.world, host));
        let patience = Some(Duration::from_millis(100));
        client.set_read_timeout(patience).unwrap();
        let mut buffer = vec![0; 65_535];
        for size in [1_400, 4_000] {
            let data = pattern(size);
            // The first may be lost: only by that is it known how much the link takes.
            let came = (0..100).any(|_| {
                client.send(&data).unwrap();
                let count = client.recv(&mut buffer);
                count.is_ok_and(|count| buffer[..count] == data)
            });
            assert!(came, "{size} bytes to {host}");
        }
    }
}

#[test]
fn another_host_is_told_what_cannot_be_reached() {
    let Some(guests) = guests() else { return };
    for (host, any) in SERVER.into_iter().zip(["0.0.0.0:0", "[::]:0"]) {
        let kinds = guests.world.app.run(move || {
            let client = UdpSocket::bind(any).unwrap();
            let patience = Some(Duration::from_secs(5));
            client.set_read_timeout(patience).unwrap();
            client.connect((host, 9)).unwrap();
            client.send(b"x").unwrap();
            let datagram = client.recv(&mut [0]).map_err(|error| error.kind());
            let stream = std::net::TcpStream::connect((host, 9));
            (datagram.err(), stream.err().map(|error| error.kind()))
        });
        let refused = Some(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(kinds, (refused, refused), "{host}");
    }
}

#[test]
fn another_host_pings_who_is_there() {
    let Some(guests) = guests() else { return };
    let ping = |host: &str, wait| {
        let host: IpAddr = host.parse().unwrap();
        guests.world.app.run(move || answers_ping(host, wait))
    };
    for host in SERVER {
        assert!(ping(host, ANSWER), "{host}");
    }
    assert!(!ping("203.0.113.77", SILENCE));
}

#[test]
fn hosts_behind_each_other_do_not_wait_for_each_other() {
    let Some(guests) = guests() else { return };
    let local = World {
        app: guests.gateway.duplicate(),
        net: guests.world.net.duplicate(),
    };
    let bulk = std::thread::spawn(move || {
        exchange_in(&guests.world, echo, eight_megabytes, |equal| assert!(equal));
    });
    exchange_in(
        &local,
        echo,
        |address| {
            use std::io::{Read as _, Write as _};
            let mut stream = connect(address);
            (0..200).all(|_| stream.write_all(b"x").is_ok() && stream.read_exact(&mut [0]).is_ok())
        },
        |served| assert!(served),
    );
    bulk.join().expect("the other host was served");
}
