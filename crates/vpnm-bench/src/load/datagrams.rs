//! Datagrams echoed at a fixed rate.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::place::Place;
use crate::target::{ECHO, address};

/// What became of the datagrams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagrams {
    /// Came back, per second.
    pub(crate) per_second: f64,
    /// The share that did not come back, 0 to 1.
    pub(crate) lost: f64,
}

/// Sends `rate` datagrams of `size` bytes per second for as long as `time` and counts the echoes.
pub(crate) fn datagrams(
    place: &Place,
    size: usize,
    rate: u32,
    time: Duration,
) -> anyhow::Result<Datagrams> {
    let result = place.on_client(move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).context("cannot bind")?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20)?;
        socket.connect(address(ECHO))?;
        socket.set_read_timeout(Some(Duration::from_millis(400)))?;
        warm_up(&socket)?;
        let came = Arc::new(AtomicU32::new(0));
        let receiver = receiver(socket.try_clone()?, Arc::clone(&came))?;
        let sent = send(&socket, size, rate, time);
        receiver
            .join()
            .map_err(|_| anyhow::anyhow!("a load panicked"))?;
        let came = f64::from(came.load(Ordering::Relaxed));
        Ok(Datagrams {
            per_second: came / time.as_secs_f64(),
            lost: (1.0 - came / f64::from(sent)).max(0.0),
        })
    })?;
    result
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))?
}

/// The first datagram opens the way; it is not measured.
fn warm_up(socket: &UdpSocket) -> anyhow::Result<()> {
    for _ in 0..10 {
        socket.send(b"first")?;
        if socket.recv(&mut [0; 16]).is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("no datagram comes back")
}

fn receiver(socket: UdpSocket, came: Arc<AtomicU32>) -> anyhow::Result<thread::JoinHandle<()>> {
    let receive = move || {
        let mut buffer = [0; 2048];
        while socket.recv(&mut buffer).is_ok() {
            came.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::Builder::new()
        .spawn(receive)
        .context("cannot start a thread")
}

/// Sends in steps of half a millisecond; returns how many were sent.
fn send(socket: &UdpSocket, size: usize, rate: u32, time: Duration) -> u32 {
    let payload = vec![0x55; size];
    let start = Instant::now();
    let mut sent = 0;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return sent;
        }
        let due = f64::from(rate) * elapsed.as_secs_f64();
        while f64::from(sent) < due {
            drop(socket.send(&payload));
            sent += 1;
        }
        thread::sleep(Duration::from_micros(500));
    }
}
