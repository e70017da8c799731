//! Connections that are opened, used once and closed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use crate::place::Place;
use crate::statistics::quantile;
use crate::target::{ANSWER, address};

/// How many connections run at the same time, unless a load says otherwise.
pub(crate) const CONCURRENT: usize = 32;
/// A connection that takes longer has got stuck.
const STUCK: Duration = Duration::from_secs(3);

/// What became of the connections.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    /// Completed per second.
    pub(crate) per_second: f64,
    /// Milliseconds that one in a hundred exceeds.
    pub(crate) p99: f64,
    /// Never completed.
    pub(crate) stuck: u32,
}

/// Opens connections for as long as `time`, so many at the same time.
pub(crate) fn connections(
    place: &Place,
    concurrent: usize,
    time: Duration,
) -> anyhow::Result<Rate> {
    let rate = place.on_client(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(LocalSet::new().block_on(&runtime, all(concurrent, time)))
    })?;
    rate.join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))?
}

async fn all(concurrent: usize, time: Duration) -> Rate {
    let end = Instant::now() + time;
    let tasks: Vec<_> = (0..concurrent)
        .map(|_| spawn_local(one_after_another(end)))
        .collect();
    let (mut took, mut stuck) = (Vec::new(), 0_u32);
    for task in tasks {
        let (completed, failed) = task.await.unwrap_or((Vec::new(), 1));
        took.extend(completed);
        stuck += failed;
    }
    Rate {
        per_second: f64::from(u32::try_from(took.len()).unwrap_or(u32::MAX)) / time.as_secs_f64(),
        p99: quantile(&took, 99),
        stuck,
    }
}

/// How many milliseconds each took, and how many got stuck.
async fn one_after_another(end: Instant) -> (Vec<f64>, u32) {
    let (mut took, mut stuck) = (Vec::new(), 0);
    while Instant::now() < end {
        let start = Instant::now();
        match timeout(STUCK, once()).await {
            Ok(Ok(())) => took.push(start.elapsed().as_secs_f64() * 1e3),
            Ok(Err(_)) | Err(_) => stuck += 1,
        }
    }
    (took, stuck)
}

/// Opens `count` connections, 32 at a time; how many were served within `time`.
pub(crate) fn many(place: &Place, count: u32, time: Duration) -> anyhow::Result<f64> {
    let served = place.on_client(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(LocalSet::new().block_on(&runtime, so_many(count, time)))
    })?;
    served
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))?
}

async fn so_many(count: u32, time: Duration) -> f64 {
    let end = Instant::now() + time;
    let left = Rc::new(Cell::new(count));
    let one_after_another = |left: Rc<Cell<u32>>| async move {
        let mut served = 0;
        while Instant::now() < end
            && let Some(rest) = left.get().checked_sub(1)
        {
            left.set(rest);
            served += u32::from(matches!(timeout(STUCK, once()).await, Ok(Ok(()))));
        }
        served
    };
    let tasks: Vec<_> = (0..CONCURRENT)
        .map(|_| spawn_local(one_after_another(Rc::clone(&left))))
        .collect();
    let mut served = 0;
    for task in tasks {
        served += task.await.unwrap_or(0);
    }
    f64::from(served)
}

async fn once() -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address(ANSWER)).await?;
    stream.set_nodelay(true)?;
    stream.write_u8(1).await?;
    stream.read_u8().await?;
    // The server closes first, as HTTP/1.0 servers do.
    let mut end = [0; 1];
    stream.read(&mut end).await.map(drop)
}
