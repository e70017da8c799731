//! Datagrams at a fixed rate, in one direction.

use std::io::IoSlice;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};

use super::Direction;
use crate::place::Place;
use crate::sys::Batch;
use crate::target::{Order, SINK, SOURCE, Target, address};

/// Most datagrams sent by one system call.
const BURST: usize = 64;
/// What is still under way when the last was sent arrives within this.
const TAIL: Duration = Duration::from_millis(300);

/// What became of the datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagrams {
    /// Sent, per second.
    pub(crate) offered: f64,
    /// Arrived, in all.
    pub(crate) arrived: f64,
    /// The share that did not arrive, 0 to 1.
    pub(crate) lost: f64,
}

/// Sends `rate` datagrams of `size` bytes per second one way for as long as `time`.
pub(crate) fn datagrams(
    place: &Place,
    target: &Target,
    direction: Direction,
    size: usize,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Datagrams> {
    let order = Order { rate, size, time };
    let sunk = target.sunk();
    let work = move || match direction {
        Direction::Up => up(order, || sunk.load(Ordering::Relaxed)),
        Direction::Down => down(order),
    };
    let result = place.on_client(work)?;
    let (sent, arrived) = result
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))??;
    Ok(Datagrams {
        offered: sent / time.as_secs_f64(),
        arrived,
        lost: (1.0 - arrived / sent).max(0.0),
    })
}

fn up(order: Order, sunk: impl Fn() -> u32) -> anyhow::Result<(f64, f64)> {
    let socket = socket(SINK)?;
    let before = sunk();
    // The first datagram opens the way; it is not measured.
    for _ in 0..20 {
        socket.send(b"first")?;
        thread::sleep(Duration::from_millis(100));
        if sunk() != before {
            break;
        }
    }
    let before = sunk();
    anyhow::ensure!(before > 0, "no datagram arrives");
    let sent = send(
        &socket,
        None,
        &vec![0x55; order.size],
        order.rate,
        order.time,
    );
    thread::sleep(TAIL);
    Ok((f64::from(sent), f64::from(sunk().wrapping_sub(before))))
}

fn down(order: Order) -> anyhow::Result<(f64, f64)> {
    let socket = socket(SOURCE)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let mut batch = Batch::new(BURST, 2_048);
    for _ in 0..4 {
        socket.send(&order.encode())?;
        if batch.receive(&socket).is_ok() {
            return Ok(count(&socket, batch, order));
        }
    }
    anyhow::bail!("no datagram comes back")
}

/// Counts what arrives until the source says how many there were, or nothing comes.
fn count(socket: &UdpSocket, mut batch: Batch, order: Order) -> (f64, f64) {
    let mut arrived = 0_u32;
    let mut sent = f64::from(order.rate) * order.time.as_secs_f64();
    loop {
        for (_, datagram) in batch.datagrams() {
            match Order::decode_end(datagram) {
                Some(count) => sent = f64::from(count),
                None => arrived += 1,
            }
        }
        if batch.receive(socket).is_err() {
            return (sent, f64::from(arrived));
        }
    }
}

fn socket(port: u16) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).context("cannot bind")?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    socket.connect(address(port))?;
    Ok(socket)
}

/// Sends in steps of half a millisecond, to where the socket is connected or to `to`;
/// returns how many were sent.
pub(crate) fn send(
    socket: &UdpSocket,
    to: Option<SocketAddrV4>,
    payload: &[u8],
    rate: u32,
    time: Duration,
) -> u32 {
    let to = to.map(|to| SocketAddrAny::from(SocketAddr::V4(to)));
    let start = Instant::now();
    let mut sent = 0_u32;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return sent;
        }
        let due = f64::from(rate) * elapsed.as_secs_f64();
        while f64::from(sent) < due {
            let left = usize::try_from(whole(due) - i64::from(sent)).unwrap_or(0) + 1;
            sent += send_burst(socket, to.as_ref(), payload, left.min(BURST));
        }
        thread::sleep(Duration::from_micros(500));
    }
}

/// Hands `count` datagrams to the kernel at once. What it refuses counts as sent: the
/// way is full.
fn send_burst(socket: &UdpSocket, to: Option<&SocketAddrAny>, payload: &[u8], count: usize) -> u32 {
    let pieces = [IoSlice::new(payload)];
    let mut nothing: Vec<_> = (0..count).map(|_| SendAncillaryBuffer::default()).collect();
    let mut headers: Vec<_> = nothing
        .iter_mut()
        .map(|nothing| match to {
            Some(to) => MMsgHdr::new_with_addr(to, &pieces, nothing),
            None => MMsgHdr::new(&pieces, nothing),
        })
        .collect();
    let taken = rustix::net::sendmmsg(socket, &mut headers, SendFlags::empty()).unwrap_or(1);
    u32::try_from(taken.max(1)).unwrap_or(1)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a count of datagrams of one run is far below 2^52"
)]
fn whole(count: f64) -> i64 {
    count as i64
}
