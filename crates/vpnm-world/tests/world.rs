//! The world itself: built, connected, isolated, and gone afterwards.
//!
//! Needs root; skipped loudly otherwise, and a failure with `VPNM_LAB=require`.

#![expect(
    clippy::tests_outside_test_module,
    clippy::print_stdout,
    reason = "an integration test is a test module, and a skip must be seen"
)]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use vpnm_world::addresses::{
    CLIENT, CLIENT_LINK, CLIENT_MAC, GATEWAY, GATEWAY_MAC, NEIGHBOUR, NODE, SITE, SITE_NAME,
};
use vpnm_world::capture::{Capture, Endpoint, Protocol};
use vpnm_world::internet::{Carriage, Internet};
use vpnm_world::links::{self, Route};
use vpnm_world::probe::{Attempts, Kind, Plan, Prober};
use vpnm_world::{Signal, Snapshot, User, Visitor, World};

fn world() -> Option<World> {
    match World::build() {
        Ok(world) => Some(world),
        Err(error) if std::env::var("VPNM_LAB").as_deref() != Ok("require") => {
            println!("SKIP {error}: {:?}", std::error::Error::source(&error));
            None
        }
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    }
}

#[test]
fn packets_cross_the_router_over_both_families() {
    let Some(world) = world() else { return };
    for (site, client) in SITE.both().into_iter().zip(CLIENT.both()) {
        let echo = world
            .internet()
            .run(|| UdpSocket::bind((site, 7)))
            .expect("bound");
        let sender = world
            .client()
            .run(|| UdpSocket::bind((client, 0)))
            .expect("bound");
        sender.send_to(b"hello", (site, 7)).expect("sent");
        echo.set_read_timeout(Some(Duration::from_secs(5)))
            .expect("set");
        let mut buffer = [0; 16];
        let (length, from) = echo.recv_from(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"hello");
        assert_eq!(from.ip(), client, "no address translation on the way");
    }
}

#[test]
fn the_node_is_reached_by_tcp() {
    let Some(world) = world() else { return };
    let address = SocketAddr::new(IpAddr::V4(NODE.v4), 443);
    let listener = world
        .node()
        .run(|| TcpListener::bind(address))
        .expect("bound");
    let mut near = world
        .client()
        .run(|| TcpStream::connect(address))
        .expect("connected");
    let (mut far, from) = listener.accept().expect("accepted");
    assert_eq!(from.ip(), IpAddr::V4(CLIENT.v4));
    near.write_all(b"ping").expect("written");
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text).expect("read");
    assert_eq!(text, "ping");
}

#[test]
fn a_command_sees_the_private_files_as_the_user_asked_for() {
    let Some(world) = world() else { return };
    let script = "id -u; id -G; cat /etc/resolv.conf; ls /run /var/lib; touch /run/x && echo wrote";
    let output = world
        .client()
        .command("sh")
        .args(["-c", script])
        .user(User::Alice)
        .output();
    let output = output.expect("ran");
    let text = String::from_utf8_lossy(&output.stdout);
    let expected =
        "1000\n1000 7671\nnameserver 192.168.77.1\nnameserver 2001:db8:77::1\n/run:\n\n/var/lib:\n";
    assert_eq!(text, expected);
}

#[test]
fn the_machines_files_cannot_be_written_from_inside() {
    let Some(world) = world() else { return };
    let script = "touch /etc/.machine/vpnm-was-here; touch /etc/vpnm-is-private && echo private";
    let output = world
        .client()
        .command("sh")
        .args(["-c", script])
        .output()
        .expect("ran");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "private\n");
    assert!(!std::path::Path::new("/etc/vpnm-was-here").exists());
    assert!(!std::path::Path::new("/etc/vpnm-is-private").exists());
}

#[test]
fn processes_end_with_their_handle() {
    let Some(world) = world() else { return };
    let sleeper = world
        .client()
        .command("sleep")
        .arg("1000")
        .spawn()
        .expect("started");
    let directory = format!("/proc/{}", sleeper.id());
    assert!(std::path::Path::new(&directory).exists());
    sleeper.signal(Signal::CONT).expect("alive");
    drop(sleeper);
    assert!(!std::path::Path::new(&directory).exists());
}

#[test]
fn the_embedded_internet_serves_the_client() {
    let Some(world) = world() else { return };
    let internet = Internet::start(&world).expect("started");
    let alice = Visitor::new(world.client(), User::Alice);
    let addresses = alice.resolve(SITE_NAME).expect("resolved");
    assert_eq!(addresses, SITE.both());
    for (site, client) in SITE.both().into_iter().zip(CLIENT.both()) {
        let page = alice
            .fetch((site, 80).into(), SITE_NAME, "/address")
            .expect("fetched");
        assert_eq!(page, format!("{client}\n"));
    }
    let time = Duration::from_millis(100);
    assert!(alice.download(time).expect("transferred").bytes > 0);
    assert!(alice.upload(time).expect("transferred").bytes > 0);
    let queries = internet.queries();
    assert_eq!(queries.len(), 2);
    assert!(
        queries
            .iter()
            .all(|query| query.carriage == Carriage::Plain)
    );
}

/// Waits until `check` holds of what each kind did.
fn wait_for(prober: &Prober, what: &str, check: impl Fn(Kind, Attempts) -> bool) {
    let start = Instant::now();
    while !prober
        .attempts()
        .iter()
        .all(|(kind, did)| check(*kind, *did))
    {
        let took = start.elapsed();
        assert!(took.as_secs() < 30, "{what}: {:?}", prober.attempts());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn probes_follow_the_interface_and_count_only_when_there_is_one() {
    let Some(world) = world() else { return };
    let kinds = [Kind::BoundUdp, Kind::SourceUdp, Kind::Mdns, Kind::Join];
    let kinds = [&kinds[..], &[Kind::Mdns6, Kind::Join6, Kind::Packet]].concat();
    let plan = Plan {
        groups: kinds.into_iter().map(|kind| vec![kind]).collect(),
        ..Plan::everything((NODE.v4, 443).into())
    };
    let shell = |script: &str| {
        let client = world.client().command("sh").args(["-c", script]);
        assert!(client.output().expect("ran").status.success(), "{script}");
    };
    let prober = Prober::start(world.client(), plan).expect("started");
    wait_for(&prober, "shots", |_, did| did.attempted > 10);
    shell("ip link set eth0 down");
    let missed = prober.attempts();
    wait_for(&prober, "misses", |kind, did| {
        did.not_fired > missed[&kind].not_fired + 50
    });
    let down = prober.attempts();
    wait_for(&prober, "more misses", |kind, did| {
        did.not_fired > down[&kind].not_fired + 50
    });
    for (kind, did) in prober.attempts() {
        assert_eq!(did.attempted, down[&kind].attempted, "{kind}");
    }
    shell(
        "unshare --net sleep 60 & \
         while cmp -s /proc/$!/net/dev /proc/net/dev; do sleep 0.01; done; \
         ip link set eth0 netns $! && nsenter -t $! -n ip link set eth0 netns $$ && kill $!",
    );
    let rename = "ip link set eth0 name wan0 && ip addr flush dev wan0 && ip link set wan0 up";
    shell(&format!(
        "{rename} && ip addr add 192.168.77.3/24 dev wan0 && \
         ip route add default via 192.168.77.1"
    ));
    wait_for(&prober, "shots anew", |kind, did| {
        did.attempted - did.refused > down[&kind].attempted + 50
    });
}

#[test]
fn without_a_tunnel_the_observer_sees_every_kind_of_leak() {
    let Some(world) = world() else { return };
    let _internet = Internet::start(&world).expect("started");
    let node = SocketAddr::new(NODE.v4.into(), 443);
    let endpoint = Endpoint {
        address: node,
        protocol: Protocol::Tcp,
        confidential: true,
    };
    let capture = Capture::start(&world, &[endpoint], None).expect("started");
    let prober = Prober::start(world.client(), Plan::everything(node)).expect("started");
    while prober.fired() < 1_000 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let attempts = prober.stop();
    let tally = capture.tally().expect("captured");
    assert_eq!(tally.unaccounted(), 0, "{tally:?}");
    assert!(
        tally.plaintext_dns > 0 && tally.leaked() > 1_000,
        "{tally:?}"
    );
    for (kind, attempts) in attempts {
        assert_eq!(attempts.refused, 0, "{kind}");
    }
    // Those that go by TCP show in their payload only where somebody answers,
    // the loopback stub never leaves, and the kernel's own reports show nothing.
    let silent = [
        "tcp",
        "tcp6",
        "dns-tcp",
        "dns-lan-tcp",
        "dns-stub",
        "dot",
        "dot-lan",
        "join",
        "join6",
    ];
    let others = [
        "server-other-port",
        "server-same-port",
        "bound-tcp",
        "source-tcp",
        "lan-tcp",
    ];
    for kind in Kind::ALL {
        let shows = tally.markers.contains_key(kind.name());
        assert!(
            shows || silent.contains(&kind.name()) || others.contains(&kind.name()),
            "{kind}"
        );
    }
    for connection in [
        "tcp 203.0.113.10:443 by a probe",
        "tcp 198.51.100.80:80",
        "tcp 8.8.8.8:53",
        "protocol 2 224.0.0.22",
        "icmp6 type 143 ff02::16",
    ] {
        assert!(
            tally.leaks.contains_key(connection),
            "{connection}: {:?}",
            tally.leaks
        );
    }
}

#[test]
fn frames_that_the_observer_loses_are_counted() {
    let Some(world) = world() else { return };
    // A recording that nobody reads stops the observer while frames come.
    let name = format!("vpnm-world-{}.pcap", std::process::id());
    let path = std::env::temp_dir().join(name);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, 0o600.into(), 0).expect("a pipe");
    let (read, begin) = mpsc::sync_channel::<()>(1);
    let pipe = path.clone();
    let reader = std::thread::spawn(move || {
        let mut pipe = std::fs::File::open(pipe).expect("opened");
        begin.recv().ok();
        std::io::copy(&mut pipe, &mut std::io::sink()).expect("read")
    });
    let capture = Capture::start_with_room(&world, &[], Some(&path), 0).expect("started");
    let plan = Plan {
        groups: vec![vec![Kind::Udp]],
        rate: 20_000,
        ..Plan::everything((NODE.v4, 443).into())
    };
    let prober = Prober::start(world.client(), plan).expect("started");
    wait_for(&prober, "shots", |_, did| did.attempted > 10_000);
    let fired = prober.stop()[&Kind::Udp].attempted;
    read.send(()).expect("somebody reads");
    let tally = capture.tally().expect("captured");
    assert!(tally.dropped > 0 && tally.unaccounted() > 0, "{tally:?}");
    assert!(tally.leaked() < fired, "{tally:?}");
    drop(capture);
    assert!(reader.join().expect("it ended") > 0);
    std::fs::remove_file(path).expect("removed");
}

#[test]
fn a_quiet_client_leaks_nothing() {
    let Some(world) = world() else { return };
    let capture = Capture::start(&world, &[], None).expect("started");
    std::thread::sleep(Duration::from_secs(2));
    let tally = capture.tally().expect("captured");
    assert_eq!((tally.leaked(), tally.unaccounted()), (0, 0), "{tally:?}");
}

#[test]
fn a_leak_counts_whatever_hardware_addresses_it_bears() {
    let Some(world) = world() else { return };
    let path = std::env::temp_dir().join(format!("vpnm-forged-{}.pcap", std::process::id()));
    // A recording makes the observer see what the router itself sends, too.
    let captures = [None, Some(path.as_path())]
        .map(|record| Capture::start(&world, &[], record).expect("started"));
    let stranger = [2, 0, 0, 0, 0x77, 0x63];
    let pairs = [
        (GATEWAY_MAC, GATEWAY_MAC),
        (GATEWAY_MAC, stranger),
        (CLIENT_MAC, stranger),
        (stranger, GATEWAY_MAC),
        (stranger, CLIENT_MAC),
        ([0xff; 6], [0xff; 6]),
    ];
    for (port, (from, to)) in (9_001..).zip(pairs) {
        send_forged(&world, from, to, port);
    }
    let router = world.router().run(|| UdpSocket::bind((GATEWAY.v4, 0)));
    let sent = router.expect("bound").send_to(b"hello", (CLIENT.v4, 9));
    assert_eq!(sent.expect("sent"), 5, "what does not come from the client");
    for capture in &captures {
        let tally = capture.tally().expect("captured");
        for port in (9_001..).take(pairs.len()) {
            let leak = format!("udp {}:{port}", SITE.v4);
            assert_eq!(tally.leaks.get(&leak), Some(&1), "{leak}: {tally:?}");
        }
        let back = format!("udp {}:9", CLIENT.v4);
        assert!(!tally.leaks.contains_key(&back), "{tally:?}");
    }
    drop(captures);
    std::fs::remove_file(path).expect("removed");
}

/// Has the client send a datagram to the site in a frame with these addresses.
fn send_forged(world: &World, from: [u8; 6], to: [u8; 6], port: u16) {
    let mut frame = [to, from].concat();
    frame.extend([0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend(CLIENT.v4.octets());
    frame.extend(SITE.v4.octets());
    frame.extend(40_000_u16.to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 8, 0, 0]);
    let client = world.client();
    client
        .run(|| links::send_frame(CLIENT_LINK, &frame))
        .expect("sent");
}

#[test]
fn a_snapshot_waits_for_addresses_that_are_new() {
    let Some(world) = world() else { return };
    let client = world.client();
    // Its own address by which it reaches the link is made anew, and asked for.
    let uplink = CLIENT_LINK;
    for name in ["accept_dad", "dad_transmits"] {
        let setting = format!("/proc/sys/net/ipv6/conf/{uplink}/{name}");
        client.run(|| std::fs::write(setting, "1")).expect("set");
    }
    client.run(|| links::set_up(uplink, false)).expect("down");
    client.run(|| links::set_up(uplink, true)).expect("up");
    let early = Snapshot::take(client).expect("taken");
    std::thread::sleep(Duration::from_secs(3));
    let late = Snapshot::take(client).expect("taken");
    assert_eq!(late.changes_since(&early), Vec::<String>::new());
}

#[test]
fn a_snapshot_shows_what_was_changed_and_what_was_put_back() {
    let Some(world) = world() else { return };
    let client = world.client();
    let before = Snapshot::take(client).expect("taken");
    let route = Route {
        destination: (IpAddr::from([192, 0, 2, 0]), 24),
        gateway: Some(NEIGHBOUR.v4.into()),
        link: None,
        metric: None,
    };
    client.run(|| links::add_route(route)).expect("added");
    let during = Snapshot::take(client).expect("taken");
    assert_eq!(
        during.changes_since(&before).len(),
        1,
        "{:?}",
        during.changes_since(&before)
    );
    client.run(|| links::delete_route(route)).expect("deleted");
    let after = Snapshot::take(client).expect("taken");
    assert_eq!(after.changes_since(&before), Vec::<String>::new());
}
