//! One byte there and back, over and over on one connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::place::Place;
use crate::statistics::quantile;
use crate::target::address;

/// How long something took, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    /// The median.
    pub(crate) p50: f64,
    /// What one in a hundred exceeds.
    pub(crate) p99: f64,
}

impl Latency {
    /// That of samples in microseconds.
    pub(crate) fn of(samples: &[f64]) -> Self {
        Self {
            p50: quantile(samples, 50),
            p99: quantile(samples, 99),
        }
    }
}

/// Pings a service for as long as `time`.
pub(crate) fn ping(place: &Place, port: u16, time: Duration) -> anyhow::Result<Latency> {
    let samples = place.on_client(move || {
        let limit = Duration::from_secs(5);
        let mut stream =
            TcpStream::connect_timeout(&address(port), limit).context("cannot connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        let end = Instant::now() + time;
        let mut samples = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            stream.write_all(&[1])?;
            stream.read_exact(&mut [0])?;
            samples.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(samples)
    })?;
    let samples = samples
        .join()
        .map_err(|_| anyhow::anyhow!("a load panicked"))??;
    Ok(Latency::of(&samples))
}
