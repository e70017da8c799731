//! What must flow.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Instant;

use vpnm_world::addresses::{NODE, NODE_SECOND, SITE, SITE_NAME};
use vpnm_world::internet::{Carrier, ECHO_PORT};
use vpnm_world::{User, Visitor};

use super::{SECOND, site};
use crate::ensure;
use crate::station::{Outcome, Station};

pub(super) fn pages() -> Outcome {
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

pub(super) fn datagrams() -> Outcome {
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
pub(super) fn visitor_address(port: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&port, 60 * SECOND)?;
    stream.set_read_timeout(Some(60 * SECOND))?;
    stream
        .write_all(b"GET /address HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub(super) fn thousand() -> Outcome {
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

pub(super) fn switch() -> Outcome {
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

pub(super) fn throughput() -> Outcome {
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
