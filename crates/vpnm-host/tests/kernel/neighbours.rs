//! A gateway with one card: who is on the network that this host goes out by.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::support::{
    Far, Frame, device, go_on, guard, in_namespace, probe_everything, run, tunnel,
};
use vpnm_host::{Desired, Guard, Host, Lan};

/// The neighbour's addresses, and who it speaks with.
const NEIGHBOUR: [&str; 2] = ["192.168.77.60", "2001:db8:77::60"];
const SITE: [&str; 2] = ["203.0.113.99", "2001:db8:99::9"];
/// Bytes before a packet of the device.
const HEADER: usize = 10;
const PROBE: [u8; 8] = [0x55; 8];

/// This host forwards, and the far side is a neighbour too that takes it for its router.
fn connect() -> Far {
    let far = Far::connect();
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
    far.does(|| {
        for (family, ip, length, gateway) in [
            ("-4", NEIGHBOUR[0], 24, "192.168.77.10"),
            ("-6", NEIGHBOUR[1], 64, "2001:db8:77::10"),
        ] {
            run("ip", &format!("addr add {ip}/{length} dev far0 nodad"));
            run("ip", &format!("{family} rule add from {ip} lookup 60"));
            run(
                "ip",
                &format!("{family} route add default via {gateway} table 60"),
            );
        }
    });
    far
}

fn served() -> Guard {
    Guard {
        serve_uplink: vec!["eth0".to_owned()],
        ..guard()
    }
}

/// The tunnel for those whom `guard` serves.
fn tunnel_for(host: &mut Host, guard: Guard) -> Desired {
    match tunnel(host) {
        Desired::Tunnel(_, tunnel) => Desired::Tunnel(guard, tunnel),
        other @ (Desired::Open | Desired::Blocked(_)) => other,
    }
}

/// The neighbour sends a datagram, and waits for an answer for the time given.
fn ask(far: &Far, from: &'static str, to: &'static str, patience: Duration) -> bool {
    far.does(move || {
        let ip: IpAddr = from.parse().unwrap();
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0)).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        let to = SocketAddr::new(to.parse().unwrap(), 9);
        let mut answer = [0; 64];
        socket.send_to(&PROBE, to).is_ok()
            && socket
                .recv_from(&mut answer)
                .is_ok_and(|(length, who)| who == to && answer.get(..length) == Some(&PROBE[..]))
    })
}

/// The neighbour sends to everybody of both families, and waits for nobody.
fn send_all(far: &Far) {
    for (from, to) in NEIGHBOUR.into_iter().zip(SITE) {
        for _ in 0..4 {
            assert!(
                !ask(far, from, to, Duration::from_millis(5)),
                "{to} answers"
            );
        }
    }
}

/// Sends back every probe that comes out of the device, as its receiver would, until there
/// were so many.
fn answer(device: &OwnedFd, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut answered = 0;
    let mut buffer = [0; 4096];
    while answered < count {
        assert!(Instant::now() < deadline, "{answered} of {count} came");
        match rustix::io::read(device, &mut buffer) {
            Ok(length) => {
                let packet = &mut buffer[..length];
                if is_probe(packet) {
                    turn_round(&mut packet[HEADER..]);
                    assert_eq!(rustix::io::write(device, packet), Ok(length));
                    answered += 1;
                }
            }
            Err(rustix::io::Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{}", io::Error::from(error)),
        }
    }
}

/// Whether it is a datagram of a neighbour's, and not an error about one.
fn is_probe(packet: &[u8]) -> bool {
    let protocol = match packet[HEADER] >> 4 {
        4 => packet[HEADER + 9],
        _ => packet[HEADER + 6],
    };
    protocol == 17 && packet.ends_with(&PROBE)
}

/// Exchanges the addresses and ports of a datagram; its checksums stay right.
fn turn_round(packet: &mut [u8]) {
    let (addresses, length, ports) = match packet[0] >> 4 {
        4 => (12, 4, 20),
        _ => (8, 16, 40),
    };
    for (at, length) in [(addresses, length), (ports, 2)] {
        let (first, second) = packet[at..at + 2 * length].split_at_mut(length);
        first.swap_with_slice(second);
    }
}

/// Frames for others than the neighbour.
fn strays(frames: Vec<Frame>) -> Vec<Frame> {
    let mut strays = frames;
    strays.retain(|frame| !NEIGHBOUR.iter().any(|ip| frame.is_for(ip)));
    strays
}

#[test]
fn neighbours_on_the_way_out_are_led_into_the_tunnel_and_answered() {
    in_namespace(|| {
        let far = connect();
        let mut host = Host::open().unwrap();
        let device = device();
        let desired = tunnel_for(&mut host, served());
        host.reach(&desired, &mut go_on).unwrap();
        drop(far.take());
        std::thread::scope(|scope| {
            let answering = scope.spawn(|| answer(&device.fd, NEIGHBOUR.len()));
            for (from, to) in NEIGHBOUR.into_iter().zip(SITE) {
                assert!(
                    ask(&far, from, to, Duration::from_secs(15)),
                    "{to} is silent"
                );
            }
            answering.join().unwrap();
        });
        assert_eq!(strays(far.take()), []);
        // Strict reverse path filters do not mind.
        run(
            "sysctl",
            "-q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1",
        );
        host.reach(&desired, &mut go_on).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| answer(&device.fd, 1));
            assert!(ask(&far, NEIGHBOUR[0], SITE[0], Duration::from_secs(15)));
        });
        probe_everything();
        assert_eq!(strays(far.take()), []);
    });
}

#[test]
fn nothing_of_neighbours_leaves_beside_the_tunnel() {
    in_namespace(|| {
        let far = connect();
        send_all(&far);
        let leaks = strays(far.take());
        assert!(leaks.iter().any(Frame::is_probe), "an open host forwards");
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(served()), &mut go_on).unwrap();
        drop(far.take());
        send_all(&far);
        assert_eq!(far.take(), [], "blocked");
        let opened = device();
        let desired = tunnel_for(&mut host, served());
        host.reach(&desired, &mut go_on).unwrap();
        for route in [
            "route add 203.0.113.99/32 via 192.168.77.1",
            "-6 route add 2001:db8:99::9/128 via 2001:db8:77::1",
        ] {
            run("ip", route);
        }
        send_all(&far);
        assert_eq!(far.take(), [], "nobody answers in the tunnel");
        drop(opened);
        send_all(&far);
        assert_eq!(far.take(), [], "the link is gone");
        drop(host);
        send_all(&far);
        assert_eq!(far.take(), [], "nobody lives");
    });
}

#[test]
fn who_is_not_of_the_network_is_not_served() {
    in_namespace(|| {
        let far = connect();
        far.does(|| {
            run("ip", "addr add 203.0.113.60/32 dev far0");
            run("ip", "rule add from 203.0.113.60 lookup 60");
        });
        let mut host = Host::open().unwrap();
        let device = device();
        let desired = tunnel_for(&mut host, served());
        host.reach(&desired, &mut go_on).unwrap();
        drop(far.take());
        assert!(!ask(
            &far,
            "203.0.113.60",
            SITE[0],
            Duration::from_millis(50)
        ));
        std::thread::scope(|scope| {
            // The first that comes is the neighbour's.
            scope.spawn(|| answer(&device.fd, 1));
            assert!(ask(&far, NEIGHBOUR[0], SITE[0], Duration::from_secs(15)));
        });
        assert_eq!(strays(far.take()), []);
    });
}

/// Where the local network is open, the kernel would show neighbours the shorter way.
#[test]
fn no_neighbour_is_shown_a_way_past_this_host() {
    in_namespace(|| {
        let far = connect();
        run("ip", "route add 10.9.0.0/16 via 192.168.77.1");
        run("ip", "-6 route add fd09::/16 via 2001:db8:77::1");
        let mut host = Host::open().unwrap();
        let mut shown = |serve_uplink: &[&str]| {
            let guard = Guard {
                lan: Lan::Allowed,
                serve_uplink: serve_uplink.iter().map(|&name| name.to_owned()).collect(),
                ..guard()
            };
            host.reach(&Desired::Blocked(guard), &mut go_on).unwrap();
            drop(far.take());
            for (from, to) in NEIGHBOUR.into_iter().zip(["10.9.0.9", "fd09::9"]) {
                ask(&far, from, to, Duration::from_millis(20));
            }
            far.take()
                .iter()
                .filter(|frame| frame.is_redirect())
                .count()
        };
        assert_eq!(shown(&["eth0"]), 0);
        assert_ne!(shown(&[]), 0, "this kernel shows nobody any way");
        assert_eq!(shown(&["eth0"]), 0);
    });
}
