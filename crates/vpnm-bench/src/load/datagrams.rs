//! Datagrams at a fixed rate, in one direction.

use std::net::UdpSocket;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::{Direction, Latency};
use crate::delay::Delays;
use crate::pace;
use crate::place::Place;
use crate::sys::{self, Batch};
use crate::target::{Order, SINK, SOURCE, Sunk, Target, address};

/// Most datagrams taken by one system call.
const BATCH: usize = 64;
/// Bytes of room for each, and for many that are received as one.
const ROOM: usize = 2_048;
const JOINED_ROOM: usize = 65_536;
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
    /// How long they were under way; all zero if they were joined.
    pub(crate) delay: Latency,
}

/// Sends what is ordered one way.
pub(crate) fn datagrams(
    place: &Place,
    target: &Target,
    direction: Direction,
    order: Order,
) -> anyhow::Result<Datagrams> {
    let _joined = order.pace.joined.then(|| target.join()).transpose()?;
    let sunk = target.sunk();
    let work = move || match direction {
        Direction::Up => up(order, &sunk),
        Direction::Down => down(order),
    };
    let result = place.on_client(work)?;
    let (sent, arrived, delays) = result
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))??;
    Ok(Datagrams {
        offered: sent / order.pace.time.as_secs_f64(),
        arrived,
        lost: (1.0 - arrived / sent).max(0.0),
        delay: Latency::of(&delays),
    })
}

/// How many were sent, how many arrived, and their delays.
type Came = (f64, f64, Vec<f64>);

fn up(order: Order, sunk: &Sunk) -> anyhow::Result<Came> {
    let count = || sunk.count.load(Ordering::Relaxed);
    let socket = socket(SINK)?;
    let before = count();
    // The first datagram opens the way; it is not measured.
    for _ in 0..20 {
        socket.send(b"first")?;
        thread::sleep(Duration::from_millis(100));
        if count() != before {
            break;
        }
    }
    sunk.delays.take();
    let before = count();
    anyhow::ensure!(before > 0, "no datagram arrives");
    let sent = pace::send(&socket, None, &vec![0x55; order.size], 0, order.pace)?;
    thread::sleep(TAIL);
    let arrived = count().wrapping_sub(before);
    Ok((f64::from(sent), f64::from(arrived), sunk.delays.take()))
}

fn down(order: Order) -> anyhow::Result<Came> {
    let socket = socket(SOURCE)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    sys::join(&socket, order.pace.joined)?;
    let room = if order.pace.joined { JOINED_ROOM } else { ROOM };
    let mut batch = Batch::new(BATCH, room);
    for _ in 0..4 {
        socket.send(&order.encode())?;
        if batch.receive(&socket).is_ok() {
            return Ok(count(&socket, batch, order));
        }
    }
    anyhow::bail!("no datagram comes back")
}

/// Counts what arrives until the source says how many there were, or nothing comes.
fn count(socket: &UdpSocket, mut batch: Batch, order: Order) -> Came {
    let delays = Delays::default();
    let mut arrived = 0_u32;
    let mut sent = f64::from(order.pace.rate) * order.pace.time.as_secs_f64();
    loop {
        delays.note(batch.datagrams().map(|(_, datagram)| datagram));
        for (_, datagram) in batch.datagrams() {
            match Order::decode_end(datagram) {
                Some(count) => sent = f64::from(count),
                None => arrived += 1,
            }
        }
        if batch.receive(socket).is_err() {
            return (sent, f64::from(arrived), delays.take());
        }
    }
}

fn socket(port: u16) -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).context("cannot bind")?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
    socket.connect(address(port))?;
    Ok(socket)
}
