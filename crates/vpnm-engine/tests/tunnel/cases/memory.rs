//! What the engine takes of the machine's memory.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::Instant;

use vpnm_world::internet::{Carrier, ECHO_PORT};

use super::traffic::visitor_address;
use super::{SECOND, site};
use crate::ensure;
use crate::station::{Outcome, Station};

/// Resident memory of the engine in KiB.
fn resident(station: &Station) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", station.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}

pub(super) fn memory() -> Outcome {
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
    // The test runner's own limit is the only one.
    loop {
        let now = resident(station)?;
        if now < idle + (open - idle) / 2 {
            println!("     {now} KiB after {:?}", begun.elapsed());
            return Ok(());
        }
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
