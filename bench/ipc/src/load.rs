//! What is measured of a framework, by its client.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::task::LocalSet;

use crate::frameworks::Client;
use crate::statistics::{micros, quantile, rate};

/// What one round has measured; nothing where a framework does not offer it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// Connect, authenticate, call: the median, in microseconds.
    pub session: Option<f64>,
    /// Calls of one client, one after another, in a second.
    pub calls: Option<f64>,
    /// The slowest but 1 in 100 of them, in microseconds.
    pub slow: Option<f64>,
    /// Calls of 16 clients at once, in a second.
    pub crowd: Option<f64>,
    /// Events of one stream in a second.
    pub events: Option<f64>,
    /// Echoes of 1 MiB in a second.
    pub large: Option<f64>,
}

const CALLS: usize = 20_000;
const SESSIONS: usize = 2_000;
const CLIENTS: usize = 16;
const CALLS_EACH: usize = 2_000;
const EVENTS: u32 = 400_000;
const ECHOES: usize = 200;
/// Where a framework needs longer than this for its echoes, fewer will do.
const PATIENCE: Duration = Duration::from_secs(1);

/// Measures the server at `path`, on one thread.
#[tokio::main(flavor = "current_thread")]
pub async fn measure<C: Client>(path: &Path) -> Result<Figures> {
    let mut client = first::<C>(path).await?;
    for _ in 0..CALLS / 20 {
        client.echo("hello").await?;
    }
    let (calls, slow) = calls(&mut client).await?;
    Ok(Figures {
        calls: Some(calls),
        slow: Some(slow),
        session: Some(sessions::<C>(path).await?),
        crowd: Some(crowd::<C>(path).await?),
        events: Some(events(&mut client).await?),
        large: Some(large(&mut client).await?),
    })
}

/// The first client there is: the server may be starting yet.
async fn first<C: Client>(path: &Path) -> Result<C> {
    let started = Instant::now();
    loop {
        match C::open(path).await {
            Ok(client) => return Ok(client),
            Err(error) if started.elapsed() > Duration::from_secs(10) => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn calls<C: Client>(client: &mut C) -> Result<(f64, f64)> {
    let mut times = Vec::with_capacity(CALLS);
    let started = Instant::now();
    for _ in 0..CALLS {
        let called = Instant::now();
        client.echo("hello").await?;
        times.push(micros(called.elapsed()));
    }
    Ok((rate(CALLS, started), quantile(&mut times, 0.99)))
}

async fn sessions<C: Client>(path: &Path) -> Result<f64> {
    let mut times = Vec::with_capacity(SESSIONS);
    for _ in 0..SESSIONS {
        let started = Instant::now();
        let mut client = C::open(path).await?;
        client.echo("hello").await?;
        times.push(micros(started.elapsed()));
    }
    Ok(quantile(&mut times, 0.5))
}

async fn crowd<C: Client>(path: &Path) -> Result<f64> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = C::open(path).await?;
        client.echo("hello").await?;
        clients.push(client);
    }
    let tasks = LocalSet::new();
    let started = Instant::now();
    let running: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tasks.spawn_local(async move {
                for _ in 0..CALLS_EACH {
                    client.echo("hello").await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    tasks.await;
    let measured = rate(CLIENTS * CALLS_EACH, started);
    for one in running {
        one.await??;
    }
    Ok(measured)
}

async fn events<C: Client>(client: &mut C) -> Result<f64> {
    let started = Instant::now();
    let seen = client.ticks(EVENTS).await?;
    ensure!(seen == EVENTS, "{seen} events of {EVENTS}");
    Ok(rate(seen.try_into()?, started))
}

async fn large<C: Client>(client: &mut C) -> Result<f64> {
    let text = "x".repeat(1 << 20);
    client.echo(&text).await?;
    let started = Instant::now();
    let mut count = 0;
    while count < ECHOES && started.elapsed() < PATIENCE {
        let length = client.echo(&text).await?;
        ensure!(length == text.len(), "{length} bytes came back");
        count += 1;
    }
    Ok(rate(count, started))
}
