//! What happens when something dies without a sign.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use vpnm_api::engine::{EngineBlocking, EngineEvent, Health};
use vpnm_world::addresses::{NODE_LINK, PLAIN_RESOLVER};
use vpnm_world::internet::Carrier;
use vpnm_world::links;

use super::{SECOND, SERVFAIL, site};
use crate::station::{Outcome, Station};
use crate::{dns, ensure};

pub(super) fn dead_resolver() -> Outcome {
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

pub(super) fn dead_path() -> Outcome {
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
