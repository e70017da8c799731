//! UDP flows: how fast new ones come, and how many can be open at once.

use std::net::{SocketAddr, UdpSocket as Blocking};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::UdpSocket;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use crate::place::Place;
use crate::sys::Batch;
use crate::target::{ECHO, address};

/// How many flows wait for their first answer at the same time.
const CONCURRENT: usize = 32;
/// A datagram that takes longer is lost.
const LOST: Duration = Duration::from_secs(1);
/// How long the first answer of several is waited for.
const SHORT: Duration = Duration::from_millis(100);
/// Flows opened between two looks at what came back.
const STEP: usize = 64;

/// Sends every datagram from a fresh port for as long as `time`; how many were answered
/// per second.
pub(crate) fn new_flows(place: &Place, time: Duration) -> anyhow::Result<f64> {
    let flows = place.on_client(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(LocalSet::new().block_on(&runtime, all(time)))
    })?;
    flows
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))?
}

async fn all(time: Duration) -> f64 {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..CONCURRENT)
        .map(|_| spawn_local(one_after_another(end)))
        .collect();
    let mut answered = 0;
    for task in tasks {
        answered += task.await.unwrap_or(0);
    }
    f64::from(answered) / time.as_secs_f64()
}

async fn one_after_another(end: Instant) -> u32 {
    let mut answered = 0;
    while Instant::now() < end {
        answered += u32::from(matches!(timeout(LOST, once()).await, Ok(Ok(()))));
    }
    answered
}

async fn once() -> std::io::Result<()> {
    let any: SocketAddr = ([0, 0, 0, 0], 0).into();
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address(ECHO)).await?;
    socket.send(b"query").await?;
    socket.recv(&mut [0; 16]).await.map(drop)
}

/// Of `count` flows that are opened one after another and all kept, how many still
/// carry a datagram there and back when the last is open.
pub(crate) fn open_flows(place: &Place, count: usize) -> anyhow::Result<f64> {
    let alive = place.on_client(move || {
        let mut sockets = Vec::with_capacity(count);
        let mut batch = Batch::new(4, 64);
        while sockets.len() < count {
            let begin = sockets.len();
            for _ in 0..STEP.min(count - begin) {
                sockets.push(open().context("cannot open a flow")?);
            }
            let new = sockets.get(begin..).unwrap_or_default();
            if exchange(new, &mut batch) == 0 {
                // Where none gets through no more will.
                break;
            }
        }
        let mut alive = 0;
        for some in sockets.chunks(STEP) {
            alive += exchange(some, &mut batch);
            if alive == 0 {
                break;
            }
        }
        Ok(f64::from(alive))
    })?;
    alive
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))?
}

fn open() -> anyhow::Result<Blocking> {
    let socket = Blocking::bind(("0.0.0.0", 0))?;
    socket.connect(address(ECHO))?;
    Ok(socket)
}

/// One datagram there and back on each; on how many that worked.
fn exchange(sockets: &[Blocking], batch: &mut Batch) -> u32 {
    for socket in sockets {
        drop(socket.send(b"hello"));
    }
    let mut came = 0;
    for socket in sockets {
        // Whoever loses one loses many; nobody waits a second for each.
        let patience = if came == 0 { SHORT } else { LOST };
        drop(socket.set_read_timeout(Some(patience)));
        came += u32::from(batch.receive(socket).is_ok());
    }
    came
}
