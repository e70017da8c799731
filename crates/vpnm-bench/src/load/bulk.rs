//! Bytes in one direction, as fast as they go.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::net::RecvFlags;

use crate::place::{From, Place};
use crate::target::{SINK, SOURCE, address};

/// Which way the bytes go, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the server.
    Up,
    /// From the server.
    Down,
}

/// Bytes at the start that are not counted, while windows open.
const SETTLE: Duration = Duration::from_millis(300);

/// Bytes moved by `flows` connections of a host within `time`, after they have settled; `marks` is
/// called when counting begins and ends.
pub(crate) fn bulk(
    place: &Place,
    from: From,
    direction: Direction,
    flows: usize,
    time: Duration,
    mut mark: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let moved = Arc::new(AtomicU64::new(0));
    let end = Instant::now() + SETTLE + time;
    let mut running = Vec::new();
    for _ in 0..flows {
        let moved = Arc::clone(&moved);
        running.push(place.on(from, move || flow(direction, end, &moved))?);
    }
    thread::sleep(SETTLE);
    let before = moved.load(Ordering::Relaxed);
    mark()?;
    thread::sleep(end.saturating_duration_since(Instant::now()));
    let after = moved.load(Ordering::Relaxed);
    mark()?;
    for flow in running {
        flow.join()
            .map_err(|_| anyhow::anyhow!("a load panicked"))??;
    }
    Ok(after - before)
}

fn flow(direction: Direction, end: Instant, moved: &AtomicU64) -> anyhow::Result<()> {
    let port = match direction {
        Direction::Up => SINK,
        Direction::Down => SOURCE,
    };
    let limit = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&address(port), limit).context("cannot connect")?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let mut buffer = vec![0x55; 512 * 1024];
    while Instant::now() < end {
        let count = match direction {
            Direction::Up => stream.write(&buffer),
            Direction::Down => discard(&mut stream, &mut buffer),
        };
        let count = count.context("the flow stalled or broke")?;
        anyhow::ensure!(count > 0, "the flow ended early");
        moved.fetch_add(u64::try_from(count)?, Ordering::Relaxed);
    }
    Ok(())
}

/// Reads without copying to this process: the client's cost must not hide the engine's.
fn discard(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    match rustix::net::recv(&*stream, &mut *buffer, RecvFlags::TRUNC) {
        Ok((_, count)) => Ok(count),
        Err(rustix::io::Errno::INTR) => stream.read(buffer),
        Err(error) => Err(error.into()),
    }
}
