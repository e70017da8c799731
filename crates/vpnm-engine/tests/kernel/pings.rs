//! Pings where a SOCKS 5 proxy is in front, which carries none.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::datagrams::{ANSWER, SILENCE, answers_ping};
use crate::exchange::world_of;
use crate::socks::{
    Conduct, HONEST, behind, connect, reply, serve, start_proxy, start_proxy_here, without_a_proxy,
    world,
};
use crate::world::{Queue, SERVER, World};

/// Hosts that are not there.
const NOWHERE: [&str; 2] = ["203.0.113.7", "2001:db8::7"];
/// Whom the engine asks for to learn what the proxy's word is worth.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Whether hosts answer pings.
fn ping(world: &World, hosts: [&'static str; 2], wait: Duration) -> [bool; 2] {
    let ping = move |host: &str| answers_ping(host.parse().unwrap(), wait);
    world.app.run(move || hosts.map(ping))
}

#[test]
fn only_hosts_that_the_proxy_reaches_answer_pings() {
    let Some(world) = world() else { return };
    assert_eq!(ping(&world, SERVER, ANSWER), [true; 2]);
    assert_eq!(ping(&world, NOWHERE, SILENCE), [false; 2]);
}

/// Says that it is connected before it has tried, as v2ray does.
fn promise(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    reply(&mut client, 0, target)
}

#[test]
fn nobody_answers_pings_behind_a_proxy_that_reaches_everybody() {
    let conduct = Conduct {
        connect: promise,
        ..HONEST
    };
    let Some(world) = behind(conduct) else { return };
    assert_eq!(ping(&world, SERVER, SILENCE), [false; 2]);
    assert_eq!(ping(&world, NOWHERE, SILENCE), [false; 2]);
}

/// How often the proxy was asked for nobody, and how often nobody waited any more for what
/// it would say.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Says nothing of nobody, as where packets to there are dropped.
fn know_nothing_of_nobody(mut client: TcpStream, target: SocketAddr) -> io::Result<()> {
    if target.ip() != NOBODY {
        return connect(client, target);
    }
    ASKED.fetch_add(1, Ordering::AcqRel);
    let left = client.read(&mut [0]).map(drop);
    LEFT.fetch_add(1, Ordering::AcqRel);
    left
}

const KNOWS_NOTHING_OF_NOBODY: Conduct = Conduct {
    connect: know_nothing_of_nobody,
    ..HONEST
};

#[test]
fn the_first_ping_waits_for_its_host_alone() {
    let engine = |tun| {
        start_proxy_here(KNOWS_NOTHING_OF_NOBODY);
        serve(vec![tun]);
    };
    let Some(world) = world_of(Queue::Offload, engine) else {
        return;
    };
    // The test runner's own limit is the only one.
    while LEFT.load(Ordering::Acquire) < 1 {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ping(&world, SERVER, ANSWER), [true; 2]);
    assert_eq!(ASKED.load(Ordering::Acquire), 1, "at the start");

    // Where the engine is there before the proxy it asks with somebody's connection.
    let world = without_a_proxy().expect("another world");
    start_proxy(&world, KNOWS_NOTHING_OF_NOBODY);
    while LEFT.load(Ordering::Acquire) < 2 {
        world.app.run(|| drop(TcpStream::connect((SERVER[0], 9))));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ping(&world, SERVER, ANSWER), [true; 2]);
    assert_eq!(ASKED.load(Ordering::Acquire), 2, "once");
}
