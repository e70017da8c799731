//! What must work, and how it must fail.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyd::CallError;
use vpnm_api::Code;
use vpnm_api::engine::{EngineBlocking, EngineError, EngineEvent, Health};
use vpnm_world::addresses::{NODE, NODE_LINK, NODE_SECOND, PLAIN_RESOLVER, SITE, SITE_NAME};
use vpnm_world::internet::{Carriage, Carrier, ECHO_PORT};
use vpnm_world::{User, Visitor, links};

use crate::calls::{self, Tracer};
use crate::dns::{self, Answer};
use crate::ensure;
use crate::station::{Outcome, REDIRECT, Station};

type Case = (&'static str, fn() -> Outcome);

const SERVFAIL: u16 = 2;
const SECOND: Duration = Duration::from_secs(1);

/// Every case, in the order of reading.
pub(crate) const ALL: &[Case] = &[
    ("the engine is in its jail", in_its_jail),
    ("no call is listed without being made", every_call_is_made),
    ("without a way out everything fails at once", no_way_out),
    ("each fault of a server has its name", typed_faults),
    ("pages come from the node's address", pages),
    ("names are answered over https only", names),
    ("dig understands every answer", understood_by_dig),
    ("datagrams go there and back", datagrams),
    ("a thousand connections at once", thousand),
    ("a switch resets the old flows and carries the new", switch),
    (
        "a silently dead resolver costs one late answer",
        dead_resolver,
    ),
    (
        "a dead path is told within seconds, and its return",
        dead_path,
    ),
    ("memory is bounded and given back", memory),
    ("bytes flow both ways", throughput),
    ("the engine ends with the daemon", ends_with_daemon),
];

fn site(port: u16) -> SocketAddr {
    SocketAddr::from((SITE.v4, port))
}

fn in_its_jail() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let status = fs::read_to_string(format!("/proc/{}/status", station.process.id()))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let uid = User::Engine.uid().to_string();
    let expected = [
        ("Uid:", uid.as_str()),
        ("CapEff:", "0000000000000000"),
        ("CapPrm:", "0000000000000000"),
        ("NoNewPrivs:", "1"),
        ("Seccomp:", "2"),
        ("Threads:", "1"),
    ];
    for (name, value) in expected {
        let found = field(name);
        ensure(found == value, || format!("{name} is {found}, not {value}"))?;
    }
    Ok(())
}

/// A session that does everything once, watched from outside.
fn every_call_is_made() -> Outcome {
    let (mut station, tracer) = Station::build_watched(Carrier::Tls, Tracer::follow)?;
    station.connect()?;
    station.visit(|| visitor_address(site(80)))?;
    let redirected = SocketAddr::from((Ipv4Addr::LOCALHOST, REDIRECT));
    station.visit(|| dns::by_datagram(redirected, SITE_NAME))?;
    station.visit(|| dns::by_stream(redirected, SITE_NAME))?;
    close_control(&mut station)?;
    // Only then wait for it: two waiting threads would take each other's news.
    let counts = tracer.counts()?;
    station.process.wait()?;
    let unused = calls::unused(&counts);
    ensure(unused.is_empty(), || {
        format!("listed and never made: {unused:?}")
    })
}

/// What the daemon's death looks like from the engine.
fn close_control(station: &mut Station) -> Outcome {
    let unconnected = anyd::blocking::Client::from_stream(UnixStream::pair()?.0);
    station.engine = unconnected.into();
    Ok(())
}

fn no_way_out() -> Outcome {
    let station = Station::build(Carrier::Tcp)?;
    let begun = Instant::now();
    let refused = station.visit(|| TcpStream::connect_timeout(&site(80), 5 * SECOND));
    ensure(refused.is_err(), || {
        "a connection was made without a way out".to_owned()
    })?;
    let resolver = SocketAddr::from((PLAIN_RESOLVER.v4, 53));
    let answer = station.visit(|| dns::by_datagram(resolver, SITE_NAME))?;
    ensure(answer.rcode == SERVFAIL, || format!("{answer:?}"))?;
    let took = begun.elapsed();
    ensure(took < 2 * SECOND, || format!("it took {took:?}"))
}

fn code(result: Outcome<vpnm_api::engine::Established>) -> Outcome<Code> {
    let error = result.err().ok_or("the connection was made")?;
    let error = *error.downcast::<CallError<EngineError>>()?;
    let CallError::Remote(EngineError::Failed { failure }) = error else {
        return Err(error.into());
    };
    println!("     {failure}");
    Ok(failure.code)
}

fn typed_faults() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    let link = station.node.link();
    let id = link
        .trim_start_matches("vless://")
        .split('@')
        .next()
        .unwrap_or_default()
        .to_owned();
    let node = NODE.both();
    let cases = [
        (Code::Refused, link.replace(":443", ":444"), node.to_vec()),
        (
            Code::Rejected,
            link.replace(&id, "00000000-0000-4000-8000-00000000dead"),
            node.to_vec(),
        ),
        (
            Code::Certificate,
            link.replace("sni=node.example", "sni=other.example"),
            node.to_vec(),
        ),
        (Code::Tls, link.replace(":443", ":80"), vec![SITE.v4.into()]),
        (
            Code::Unreachable,
            link,
            vec![Ipv4Addr::new(192, 168, 77, 200).into()],
        ),
    ];
    for (expected, link, server) in cases {
        let begun = Instant::now();
        let found = code(station.connect_to(&link, &server))?;
        ensure(found == expected, || {
            format!("{} instead of {}", found.name(), expected.name())
        })?;
        let took = begun.elapsed();
        ensure(took < 9 * SECOND, || {
            format!("{} took {took:?}", expected.name())
        })?;
    }
    Ok(())
}

fn pages() -> Outcome {
    for carrier in [Carrier::Tcp, Carrier::Tls] {
        let mut station = Station::build(carrier)?;
        let resolved = station
            .engine
            .resolve("node.example".to_owned().try_into()?)?;
        ensure(resolved.addresses == NODE.both(), || {
            format!("{resolved:?}")
        })?;
        let established = station.connect()?;
        println!("     {carrier:?}: {established:?}");
        let visitor = Visitor::new(station.world.client(), User::Alice);
        for address in SITE.both() {
            let seen = visitor.fetch(SocketAddr::new(address, 80), SITE_NAME, "/address")?;
            let nodes = [NODE, NODE_SECOND].map(|node| node.both()).concat();
            let is_node = nodes.iter().any(|node| seen.contains(&node.to_string()));
            ensure(is_node, || format!("the site saw {seen}"))?;
        }
    }
    Ok(())
}

fn names() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let expected = Answer {
        rcode: 0,
        addresses: vec![SITE.v4.into()],
    };
    for resolver in [
        SocketAddr::from((PLAIN_RESOLVER.v4, 53)),
        SocketAddr::from((PLAIN_RESOLVER.v6, 53)),
        SocketAddr::from((Ipv4Addr::LOCALHOST, REDIRECT)),
        SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, REDIRECT)),
    ] {
        let answer = station.visit(|| dns::by_datagram(resolver, SITE_NAME))?;
        ensure(answer == expected, || {
            format!("{resolver} by datagram: {answer:?}")
        })?;
        let answer = station.visit(|| dns::by_stream(resolver, SITE_NAME))?;
        ensure(answer == expected, || {
            format!("{resolver} by stream: {answer:?}")
        })?;
    }
    let queries = station.internet.queries();
    ensure(!queries.is_empty(), || "no query arrived".to_owned())?;
    let plain = queries
        .iter()
        .find(|query| query.carriage == Carriage::Plain);
    ensure(plain.is_none(), || format!("{plain:?}"))
}

fn understood_by_dig() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let client = station.world.client();
    if client.command("dig").arg("-v").output().is_err() {
        println!("     SKIP dig is not installed");
        return Ok(());
    }
    let address = SITE.v4.to_string();
    let cases = [
        ("@8.8.8.8 site.example A", address.as_str()),
        ("@8.8.8.8 SiTe.ExAmPlE A", "SiTe.ExAmPlE."),
        ("@8.8.8.8 site.example A +tcp", address.as_str()),
        ("@2001:4860:4860::8888 site.example A", address.as_str()),
        ("@8.8.8.8 site.example A +noedns", address.as_str()),
        ("@8.8.8.8 site.example A +dnssec", "flags: do;"),
        ("@8.8.8.8 site.example ANY +notcp", "RFC8482"),
        ("@8.8.8.8 version.bind CH TXT", "status: REFUSED"),
        (
            "@8.8.8.8 site.example A +edns=1 +noednsnegotiation",
            "status: BADVERS",
        ),
        ("@8.8.8.8 site.example A +opcode=notify", "status: NOTIMP"),
        ("@8.8.8.8 use-application-dns.net A", "status: NXDOMAIN"),
        ("@8.8.8.8 nowhere.invalid A", "status: NXDOMAIN"),
        ("@8.8.8.8 printer.local A", "status: NXDOMAIN"),
        ("@8.8.8.8 localhost AAAA", "::1"),
        (
            "@8.8.8.8 site.example A +subnet=192.0.2.0/24",
            address.as_str(),
        ),
    ];
    for (arguments, expected) in cases {
        let dig = client.command("dig").args(["+tries=1", "+time=5"]);
        let ran = dig.args(arguments.split(' ')).output()?;
        let text = String::from_utf8_lossy(&ran.stdout);
        let is_clean = !text.contains("Warning") && !text.contains("malformed");
        ensure(text.contains(expected) && is_clean, || {
            format!("dig {arguments}: {text}")
        })?;
    }
    Ok(())
}

fn datagrams() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let echoed = station.visit(|| {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(5 * SECOND))?;
        socket.connect(site(ECHO_PORT))?;
        let mut space = [0; 2048];
        let mut echoed = 0;
        for n in 0..200_u16 {
            let datagram = vec![n.to_be_bytes()[1]; usize::from(n) * 6 + 1];
            socket.send(&datagram)?;
            let length = socket.recv(&mut space)?;
            echoed += u32::from(space.get(..length) == Some(&datagram[..]));
        }
        Ok(echoed)
    })?;
    ensure(echoed == 200, || format!("{echoed} of 200 came back"))
}

/// Fetches the page that names the visitor, on a connection of its own.
fn visitor_address(port: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&port, 10 * SECOND)?;
    stream.set_read_timeout(Some(20 * SECOND))?;
    stream
        .write_all(b"GET /address HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn thousand() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let begun = Instant::now();
    let node = NODE.v4.to_string();
    let served = station.visit(|| {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..1000)
                .map(|_| {
                    thread::Builder::new()
                        .stack_size(128 * 1024)
                        .spawn_scoped(scope, || visitor_address(site(80)))
                })
                .collect();
            let mut served = 0;
            for worker in workers {
                match worker?.join() {
                    Ok(Ok(page)) if page.contains(&node) => served += 1,
                    Ok(Ok(page)) => println!("     {page}"),
                    Ok(Err(error)) => println!("     {error}"),
                    Err(_) => println!("     a visitor panicked"),
                }
            }
            Ok(served)
        })
    })?;
    println!("     {served} pages in {:?}", begun.elapsed());
    ensure(served == 1000, || format!("{served} of 1000 were served"))
}

fn switch() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let mut old = station.visit(|| TcpStream::connect_timeout(&site(ECHO_PORT), 5 * SECOND))?;
    old.set_read_timeout(Some(5 * SECOND))?;
    old.write_all(b"before")?;
    let mut space = [0; 6];
    old.read_exact(&mut space)?;
    let established = station.switch()?;
    let is_second = NODE_SECOND.both().contains(&established.via);
    ensure(is_second, || format!("{established:?}"))?;
    let ended = old.read(&mut space);
    ensure(ended.is_err(), || format!("the old flow lives: {ended:?}"))?;
    let page = station.visit(|| visitor_address(site(80)))?;
    ensure(page.contains("203.0.113."), || page.clone())
}

fn dead_resolver() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let resolver = SocketAddr::from((PLAIN_RESOLVER.v4, 53));
    for n in 0..20 {
        station.visit(|| dns::by_datagram(resolver, &format!("warm{n}.example.com")))?;
    }
    // What the node has open towards resolvers goes into the void from now on.
    let node = station.world.node();
    let open = node
        .command("ss")
        .args(["-Htn", "state", "established"])
        .output()?;
    let open = String::from_utf8(open.stdout)?;
    let ports: Vec<_> = open
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(2);
            let (local, peer) = (words.next()?, words.next()?);
            let is_resolver = peer.ends_with(":443") && !peer.contains("203.0.113");
            is_resolver.then(|| local.rsplit(':').next().unwrap_or_default().to_owned())
        })
        .collect();
    ensure(!ports.is_empty(), || {
        format!("no connection to a resolver: {open}")
    })?;
    let ports = ports.join(", ");
    let rules = format!(
        "table inet fault {{\n chain out {{\n type filter hook output priority 0;\n \
         tcp dport 443 tcp sport {{ {ports} }} drop\n }}\n}}\n"
    );
    let nft = node.command("nft").arg(&rules).output()?;
    ensure(nft.status.success(), || {
        String::from_utf8_lossy(&nft.stderr).into_owned()
    })?;
    let begun = Instant::now();
    let answer = station.visit(|| dns::by_datagram(resolver, "after.example.com"))?;
    let took = begun.elapsed();
    println!("     answered after {took:?}");
    ensure(answer.rcode != SERVFAIL, || format!("{answer:?}"))?;
    ensure(took < 2 * SECOND, || format!("it took {took:?}"))
}

fn dead_path() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    let (ours, theirs) = UnixStream::pair()?;
    station.engine.attach(&[theirs.as_fd()])?;
    let mut second = EngineBlocking::from(anyd::blocking::Client::from_stream(ours));
    let router = station.world.router();
    let cable = |up| router.run(move || links::set_up(NODE_LINK, up));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Whether it succeeds is what the case is about.
                station
                    .visit(|| TcpStream::connect_timeout(&site(80), SECOND / 2))
                    .ok();
                thread::sleep(SECOND / 10);
            }
        });
        let judged = follow_health(&mut second, cable);
        stop.store(true, Ordering::Relaxed);
        traffic.join().map_err(|_| "the traffic broke")?;
        judged
    })
}

/// Cuts the cable and mends it; each time the engine has to say so.
fn follow_health(engine: &mut EngineBlocking, cable: impl Fn(bool) -> io::Result<()>) -> Outcome {
    let mut cut = Instant::now();
    cable(false)?;
    let steps = [
        (Health::Suspect, 3 * SECOND),
        (Health::Down, 20 * SECOND),
        (Health::Up, 10 * SECOND),
    ];
    let mut steps = steps.into_iter();
    let mut wanted = steps.next();
    for event in engine.watch()? {
        let EngineEvent::Health { health, cause } = event? else {
            continue;
        };
        let Some((expected, limit)) = wanted else {
            break;
        };
        let took = cut.elapsed();
        println!("     {health:?} after {took:?}: {cause:?}");
        ensure(health == expected, || {
            format!("{health:?} instead of {expected:?}")
        })?;
        ensure(took < limit, || format!("{expected:?} took {took:?}"))?;
        if health == Health::Down {
            cable(true)?;
            cut = Instant::now();
        }
        wanted = steps.next();
        if wanted.is_none() {
            return Ok(());
        }
    }
    Err("the engine stopped telling".into())
}

/// Resident memory of the engine in KiB.
fn resident(station: &Station) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", station.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}

fn memory() -> Outcome {
    const FLOWS: u64 = 500;
    /// What a flow may hold on to while it is open, in KiB.
    const PER_FLOW: u64 = 160;
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    station.visit(|| visitor_address(site(80)))?;
    let idle = resident(&station)?;
    let streams = station.visit(|| {
        (0..FLOWS)
            .map(|_| echoed_stream())
            .collect::<io::Result<Vec<_>>>()
    })?;
    let open = resident(&station)?;
    println!("     {idle} KiB idle, {open} KiB with {FLOWS} streams");
    ensure(open < idle + FLOWS * PER_FLOW, || format!("{open} KiB"))?;
    drop(streams);
    returned(&station, idle, open)?;
    let sockets = station.visit(|| {
        (0..FLOWS)
            .map(|_| echoed_datagram())
            .collect::<io::Result<Vec<_>>>()
    })?;
    let open = resident(&station)?;
    drop(sockets);
    println!("     {open} KiB with {FLOWS} sessions of datagrams");
    ensure(open < idle + FLOWS * PER_FLOW, || format!("{open} KiB"))
}

/// Waits until most of what the flows took is given back to the machine.
fn returned(station: &Station, idle: u64, open: u64) -> Outcome {
    let begun = Instant::now();
    loop {
        let now = resident(station)?;
        if now < idle + (open - idle) / 2 {
            println!("     {now} KiB after {:?}", begun.elapsed());
            return Ok(());
        }
        ensure(begun.elapsed() < 15 * SECOND, || {
            format!("{now} KiB are kept")
        })?;
        thread::sleep(SECOND / 10);
    }
}

/// A connection that carried something both ways and stays open.
fn echoed_stream() -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&site(ECHO_PORT), 10 * SECOND)?;
    stream.set_read_timeout(Some(10 * SECOND))?;
    let mut bytes = vec![7; 32 * 1024];
    stream.write_all(&bytes)?;
    stream.read_exact(&mut bytes)?;
    Ok(stream)
}

/// A socket whose datagram came back, and which stays open.
fn echoed_datagram() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(5 * SECOND))?;
    socket.connect(site(ECHO_PORT))?;
    socket.send(&[7; 1000])?;
    socket.recv(&mut [0; 2000])?;
    Ok(socket)
}

fn throughput() -> Outcome {
    let mut station = Station::build(Carrier::Tcp)?;
    station.connect()?;
    let visitor = Visitor::new(station.world.client(), User::Alice);
    let down = visitor.download(2 * SECOND)?;
    let up = visitor.upload(2 * SECOND)?;
    for (way, transfer) in [("down", down), ("up", up)] {
        println!(
            "     {way} {} Mbit/s",
            transfer.bits_per_second() / 1_000_000
        );
        ensure(transfer.bytes > 1_000_000, || {
            format!("{way}: {} bytes", transfer.bytes)
        })?;
    }
    Ok(())
}

fn ends_with_daemon() -> Outcome {
    let mut station = Station::build(Carrier::Tls)?;
    station.connect()?;
    close_control(&mut station)?;
    let begun = Instant::now();
    while begun.elapsed() < 5 * SECOND {
        if let Some(status) = station.process.try_wait()? {
            return ensure(status.success(), || format!("it ended with {status}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err("the engine outlives the daemon".into())
}
