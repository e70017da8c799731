//! What passes and what does not, told by the frames that reach the far side.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{
    DNS_PORT, ENGINE, Far, Frame, SERVER, SERVER_6, as_uid, close, connect, device, flood, go_on,
    guard, in_namespace, probe_everything, run, run_when_released, tunnel, tunnelled,
};
use vpnm_host::{Desired, Host, Lan, forget_neighbours};

/// Every probe is fired, and none reaches the far side.
#[track_caller]
fn nothing_leaves(far: &Far) {
    probe_everything();
    assert_eq!(far.take(), []);
}

#[test]
fn every_probe_finds_its_way_out_of_an_open_host() {
    in_namespace(|| {
        let far = Far::connect();
        probe_everything();
        let frames = far.take();
        let leaks = frames.iter().filter(|frame| frame.kind() == "leak").count();
        assert!(
            leaks > 60,
            "the probes are blind: {leaks} of {}",
            frames.len()
        );
        assert!(frames.iter().any(|frame| frame.kind() == "server"));
    });
}

#[test]
fn nothing_leaves_a_blocked_host() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        drop(far.take());
        nothing_leaves(&far);
    });
}

/// The kernel asks three times, a second apart, for whoever it has something for.
#[test]
fn nobody_is_asked_for_any_more_whom_an_open_host_asked_for() {
    const NOBODY: [&str; 2] = ["192.168.77.99", "2001:db8:77::99"];
    in_namespace(|| {
        let asked = |far: &Far| {
            let frames = far.take_all();
            NOBODY.map(|ip| frames.iter().filter(|frame| frame.asks_for(ip)).count())
        };
        let far = Far::connect();
        let ask = || {
            for (own, ip) in ["0.0.0.0:0", "[::]:0"].into_iter().zip(NOBODY) {
                let socket = UdpSocket::bind(own).unwrap();
                drop(socket.send_to(&[0x55; 8], (ip, 9)));
            }
        };
        ask();
        assert!(asked(&far).into_iter().all(|count| count > 0));
        std::thread::sleep(Duration::from_millis(1200));
        assert!(asked(&far).into_iter().all(|count| count > 0), "again");
        for ip in NOBODY {
            run("ip", &format!("neigh del {ip} dev eth0"));
        }
        ask();
        assert!(asked(&far).into_iter().all(|count| count > 0));
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        assert_eq!(forget_neighbours().unwrap(), NOBODY.len());
        far.take_all();
        ask();
        std::thread::sleep(Duration::from_millis(3200));
        assert_eq!(asked(&far), [0, 0]);
        assert_eq!(forget_neighbours().unwrap(), 0);
    });
}

/// The kernel takes the old chain away before the new one has its policy, and from packets
/// that are on their way between the two.
#[test]
fn nothing_leaves_while_one_packet_filter_replaces_another() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        drop(far.take());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| flood("eth0", &over));
            for lan in [Lan::Allowed, Lan::Blocked].into_iter().cycle().take(600) {
                let mut guard = guard();
                guard.lan = lan;
                host.reach(&Desired::Blocked(guard), &mut go_on).unwrap();
            }
            over.store(true, Ordering::Relaxed);
        });
        // On an open local network the kernel reports its multicast groups.
        let probes = far.take().into_iter().filter(Frame::is_probe);
        assert_eq!(probes.collect::<Vec<_>>(), []);
    });
}

/// The chain that sees frames stays what it is, whatever else it comes to see, so that no
/// frame is between two of them.
#[test]
fn nothing_leaves_while_interfaces_come_and_go() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        let desired = Desired::Blocked(guard());
        let mut reach = || {
            let plan = host.reach(&desired, &mut go_on).unwrap();
            assert!(!plan.is_empty(), "nothing came or went");
            host.verify(&desired).unwrap();
        };
        reach();
        let chain = || {
            let listed = run("nft", "-a list chain netdev vpnm egress");
            let handles = listed.lines().filter(|line| line.contains("chain egress"));
            handles.map(str::to_owned).collect::<String>()
        };
        let before = chain();
        drop(far.take());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| flood("eth0", &over));
            for _ in 0..100 {
                run("ip", "link add aa0 type veth peer name zz0");
                reach();
                run("ip", "link set aa0 name bb0");
                reach();
                run("ip", "link del bb0");
                reach();
            }
            over.store(true, Ordering::Relaxed);
        });
        assert_eq!(far.take(), []);
        assert!(!host.capabilities().devices || chain() == before);
    });
}

#[test]
fn nothing_leaves_a_host_beside_its_tunnel() {
    in_namespace(|| {
        let far = Far::connect();
        let (_host, device) = tunnelled();
        drop(far.take());
        nothing_leaves(&far);
        // The tunnel is gone, the block is not.
        close(device, "vpnm0");
        nothing_leaves(&far);
    });
}

#[test]
fn the_packet_filter_holds_without_the_rules() {
    in_namespace(|| {
        let far = Far::connect();
        let (_host, _device) = tunnelled();
        drop(far.take());
        for family in ["-4", "-6"] {
            for priority in [7600, 7601, 7602, 7605, 7606, 7610, 7618, 7620] {
                run("ip", &format!("{family} rule del pref {priority}"));
            }
        }
        run("ip", "rule del pref 7619");
        nothing_leaves(&far);
    });
}

#[test]
fn the_routes_hold_without_the_packet_filter() {
    in_namespace(|| {
        let far = Far::connect();
        let (host, device) = tunnelled();
        drop(host);
        for table in ["inet", "arp", "netdev"] {
            run_when_released("nft", &format!("delete table {table} vpnm"));
        }
        drop(far.take());
        let send = || {
            for destination in ["203.0.113.9:9", "192.168.77.1:53", "[2001:db8:9::9]:443"] {
                let v6 = destination.starts_with('[');
                let socket = UdpSocket::bind(if v6 { "[::]:0" } else { "0.0.0.0:0" }).unwrap();
                drop(socket.send_to(&[0x55; 64], destination));
            }
        };
        // Without the filter the kernel's own multicast reports leave.
        let probes = || far.take().into_iter().filter(Frame::is_probe).count();
        send();
        assert_eq!(probes(), 0, "into the tunnel");
        close(device, "vpnm0");
        send();
        assert_eq!(probes(), 0, "into the backstop");
        Host::open().unwrap().cleanup(&mut go_on).unwrap();
        send();
        assert!(probes() > 0, "out of the open host");
    });
}

/// Whether the engine reaches both servers over TCP, and one over UDP.
fn the_engine_gets_through() {
    as_uid(ENGINE, || {
        for server in [SERVER, SERVER_6] {
            let mut stream = connect(server, 443)
                .unwrap_or_else(|error| panic!("no connection to {server}: {error}"));
            stream.write_all(b"hello").unwrap();
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"hello");
        }
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        socket.send_to(b"hello", (SERVER, 443)).unwrap();
        let mut answer = [0; 5];
        socket.recv_from(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    });
}

#[test]
fn the_engine_reaches_its_servers_and_nothing_else() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        let _device = device();
        let tunnel = tunnel(&mut host);
        for desired in [Desired::Blocked(guard()), tunnel] {
            host.reach(&desired, &mut go_on).unwrap();
            drop(far.take());
            the_engine_gets_through();
            let frames = far.take();
            assert!(!frames.is_empty());
            assert!(
                frames.iter().all(|frame| frame.kind() == "server"),
                "{frames:?}"
            );
            as_uid(ENGINE, probe_everything);
            let frames = far.take();
            assert!(
                frames.iter().all(|frame| frame.kind() == "server"),
                "{frames:?}"
            );
        }
    });
}

#[test]
fn a_strict_reverse_path_filter_lets_the_answers_in() {
    in_namespace(|| {
        let far = Far::connect();
        for setting in ["all/rp_filter", "eth0/rp_filter"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{setting}"), "1").unwrap();
        }
        let (_host, _device) = tunnelled();
        drop(far.take());
        the_engine_gets_through();
        drop(far.take());
        nothing_leaves(&far);
        // The rules for it lead nobody else out of the tunnel, not even root.
        let to_server = format!("route get {SERVER} ipproto tcp dport 443 uid");
        for (uid, link) in [(0, "vpnm0"), (1000, "vpnm0"), (ENGINE, "eth0")] {
            let route = run("ip", &format!("{to_server} {uid}"));
            assert!(route.contains(link), "{uid}: {route}");
        }
    });
}

/// As firewalld does it for IPv6 by default, and for IPv4 too.
#[test]
fn a_reverse_path_check_of_another_firewall_lets_the_answers_in() {
    in_namespace(|| {
        let far = Far::connect();
        for command in [
            "add table inet foreign",
            "add chain inet foreign pre { type filter hook prerouting priority -140 ; }",
            "add rule inet foreign pre iifname lo accept",
            "add rule inet foreign pre icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept",
            "add rule inet foreign pre fib saddr . mark . iif oif missing drop",
        ] {
            run("nft", command);
        }
        let (_host, _device) = tunnelled();
        run("ip", "neigh flush all");
        the_engine_gets_through();
        drop(far.take());
        nothing_leaves(&far);
    });
}

/// A router on the way reports that packets of the engine's are too large for it.
#[test]
fn errors_on_the_way_to_a_server_come_in() {
    for strict in ["0", "1"] {
        in_namespace(move || {
            let far = Far::connect();
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/rp_filter", strict).unwrap();
            let (_host, _device) = tunnelled();
            let socket = as_uid(ENGINE, || UdpSocket::bind("0.0.0.0:0").unwrap());
            socket.connect((SERVER, 443)).unwrap();
            socket.send(b"hello").unwrap();
            let port = socket.local_addr().unwrap().port();
            far.reports_too_large(port, 1300);
            let mut waits = 0;
            while crate::support::path_mtu(&socket) != 1300 {
                waits += 1;
                assert!(
                    waits < 200,
                    "the report did not come in, rp_filter {strict}"
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }
}

#[test]
fn settings_that_loosen_routing_do_not_loosen_the_block() {
    in_namespace(|| {
        let far = Far::connect();
        for setting in [
            "ip_forward",
            "conf/all/ignore_routes_with_linkdown",
            "conf/eth0/ignore_routes_with_linkdown",
            "conf/all/route_localnet",
            "conf/all/accept_local",
            "conf/all/accept_source_route",
            "conf/all/src_valid_mark",
            "conf/all/arp_ignore",
            "ip_nonlocal_bind",
        ] {
            std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), "1").unwrap();
        }
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0").unwrap();
        let (_host, device) = tunnelled();
        drop(far.take());
        the_engine_gets_through();
        drop(far.take());
        nothing_leaves(&far);
        close(device, "vpnm0");
        nothing_leaves(&far);
    });
}

#[test]
fn routes_that_others_inject_have_no_effect() {
    in_namespace(|| {
        let far = Far::connect();
        let (_host, _device) = tunnelled();
        for arguments in [
            "route add 0.0.0.0/1 via 192.168.77.1",
            "route add 128.0.0.0/1 via 192.168.77.1",
            "route add 203.0.113.0/24 dev eth0",
            "route replace default dev eth0",
            "-6 route add 2001:db8:9::/48 via 2001:db8:77::1",
            "addr add 203.0.113.1/24 dev eth0",
        ] {
            run("ip", arguments);
        }
        drop(far.take());
        nothing_leaves(&far);
        // Not just blocked: the tunnel still takes what it is meant to take.
        let route = run("ip", "route get 203.0.113.9");
        assert!(route.contains("dev vpnm0"), "{route}");
        run("ip", "rule add pref 100 lookup main");
        nothing_leaves(&far);
    });
}

#[test]
fn what_was_open_before_does_not_go_on_in_the_clear() {
    in_namespace(|| {
        let far = Far::connect();
        let mut stream = TcpStream::connect(("192.0.2.1", 443)).unwrap();
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect("203.0.113.9:9").unwrap();
        drop(socket.send(&[0x55; 64]));
        let (_host, _device) = tunnelled();
        drop(far.take());
        for _ in 0..20 {
            drop(stream.write_all(&[0x55; 512]));
            drop(socket.send(&[0x55; 64]));
        }
        // What is still queued goes on without a process.
        drop(stream);
        assert_eq!(far.take(), []);
    });
}

#[test]
fn an_interface_that_appears_is_closed_to_programs_at_once_and_then_to_frames() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        let desired = Desired::Blocked(guard());
        host.reach(&desired, &mut go_on).unwrap();
        run("ip", "link add late0 type veth peer name late1");
        run("ip", "link set late0 up");
        let plan = host.reach(&desired, &mut go_on).unwrap();
        assert!(plan.to_string().starts_with("~ filter"), "{plan}");
        let rules = run("nft", "list table netdev vpnm");
        for link in ["eth0", "late0", "late1"] {
            assert!(rules.contains(link), "{rules}");
        }
        drop(far.take());
        nothing_leaves(&far);
    });
}

#[test]
fn a_host_with_hundreds_of_interfaces_can_be_closed() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        for pair in 0..150 {
            run(
                "ip",
                &format!("link add left{pair} type veth peer name right{pair}"),
            );
        }
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        drop(far.take());
        nothing_leaves(&far);
    });
}

/// Virtual machines share the link with the host this way.
#[test]
fn a_bridge_below_the_host_changes_nothing() {
    in_namespace(|| {
        let far = Far::connect();
        for arguments in [
            "link add br0 type bridge",
            "link set br0 up",
            "addr flush dev eth0",
            "link set eth0 master br0",
            "addr add 192.168.77.10/24 dev br0",
            "addr add 2001:db8:77::10/64 dev br0 nodad",
            "route replace default via 192.168.77.1",
            "-6 route replace default via 2001:db8:77::1 dev br0",
        ] {
            run("ip", arguments);
        }
        let (_host, _device) = tunnelled();
        drop(far.take());
        the_engine_gets_through();
        drop(far.take());
        nothing_leaves(&far);
    });
}

#[test]
fn the_local_network_is_reached_only_when_it_is_allowed_and_never_for_names() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        let mut guard = guard();
        guard.lan = Lan::Allowed;
        host.reach(&Desired::Blocked(guard), &mut go_on).unwrap();
        drop(far.take());
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.send_to(&[0x55; 64], "192.168.77.1:9").unwrap();
        // The kernel's own multicast reports may leave too.
        let probes = || far.take().into_iter().filter(Frame::is_probe).count();
        assert_eq!(probes(), 1);
        for destination in ["192.168.77.1:53", "192.168.77.1:853", "224.0.0.251:5353"] {
            drop(socket.send_to(&[0x55; 64], destination));
        }
        // Private, but behind the router: only routes of their own lead there.
        drop(socket.send_to(&[0x55; 64], "10.9.9.9:9"));
        drop(socket.send_to(&[0x55; 64], "203.0.113.9:9"));
        assert_eq!(probes(), 0);
    });
}

/// A query from a socket tied to another interface by IP_UNICAST_IF, as
/// systemd-resolved sends them, and one to a loopback address where nobody listens.
#[test]
fn a_query_that_cannot_enter_the_tunnel_is_answered_by_the_local_resolver() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        let _device = device();
        let resolver = UdpSocket::bind(("127.0.0.1", DNS_PORT)).unwrap();
        resolver
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        let desired = tunnel(&mut host);
        host.reach(&desired, &mut go_on).unwrap();
        drop(far.take());
        for (destination, link) in [("192.168.77.1:53", Some("eth0")), ("127.0.0.53:53", None)] {
            let client = UdpSocket::bind("0.0.0.0:0").unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(2)))
                .unwrap();
            if let Some(link) = link {
                crate::support::prefer_link(&client, link);
            }
            client.connect(destination).unwrap();
            client.send(b"query").unwrap();
            let mut buffer = [0; 16];
            let (length, from) = resolver.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"query");
            resolver.send_to(b"answer", from).unwrap();
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"answer", "{destination}");
        }
        assert_eq!(far.take(), []);
    });
}

#[test]
fn the_tunnels_address_is_not_answered_for_on_the_wire() {
    in_namespace(|| {
        let far = Far::connect();
        let (_host, _device) = tunnelled();
        let ask = |ip: &str| far.asks_who_has(ip);
        assert!(ask("192.168.77.10"), "ARP works");
        assert!(
            !ask("198.18.76.70"),
            "the tunnel's address is known on the wire"
        );
    });
}

#[test]
fn forwarded_packets_do_not_pass() {
    in_namespace(|| {
        let far = Far::connect();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        drop(far.take());
        far.sends_through("203.0.113.77");
        assert_eq!(far.take(), []);
        host.cleanup(&mut go_on).unwrap();
        far.sends_through("203.0.113.77");
        assert!(!far.take().is_empty(), "an open host forwards");
    });
}
