//! Connections that are open and say nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::place::Place;
use crate::target::{ECHO, address};

/// Opens `count` connections, has each carry a byte, calls `look` a second later, and
/// closes them.
pub(crate) fn idle(
    place: &Place,
    count: usize,
    look: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let open = place.on_client(move || {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let limit = Duration::from_secs(3);
            let mut stream =
                TcpStream::connect_timeout(&address(ECHO), limit).context("cannot connect")?;
            stream.set_read_timeout(Some(limit))?;
            stream.write_all(&[1])?;
            stream.read_exact(&mut [0])?;
            streams.push(stream);
        }
        Ok(streams)
    })?;
    let streams = open
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))??;
    thread::sleep(Duration::from_secs(1));
    look()?;
    drop(streams);
    Ok(())
}
