//! This crate's daemon and client.

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyd::types::Text;
use anyd::{Caller, Client, Daemon, Events, Limits, Socket, Trust, Type, service};
use serde::{Deserialize, Serialize};

use crate::Figures;
use crate::statistics::{micros, quantile, rate};

#[derive(Serialize, Deserialize, Type)]
struct Echoed {
    arg: Text<0, 2_000_000>,
}

#[derive(Serialize, Deserialize, Type)]
struct Tick {
    n: u32,
}

#[service(interface = "org.example.Bench")]
trait Bench {
    #[access(anyone)]
    async fn echo(&self, caller: &Caller, arg: Text<0, 2_000_000>) -> Result<Echoed, Infallible>;
    #[access(anyone)]
    async fn ticks(&self, caller: &Caller, count: u32, out: Events<Tick>)
    -> Result<(), Infallible>;
}

struct Wall;

impl Bench for Wall {
    async fn echo(&self, _: &Caller, arg: Text<0, 2_000_000>) -> Result<Echoed, Infallible> {
        Ok(Echoed { arg })
    }

    async fn ticks(&self, _: &Caller, count: u32, mut out: Events<Tick>) -> Result<(), Infallible> {
        for n in 0..count {
            if out.send(Tick { n }).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn serve(path: &str) -> anyd::Result<()> {
    Daemon::new(anyd::product!())
        .serve(BenchService(Wall))
        .listen(Socket::path(path))
        .limits(Limits {
            message: 4 << 20,
            rate: anyd::Rate::per_sec(100_000_000),
            ..Limits::default()
        })
        .run(anyd::signals())
        .await
}

/// The daemon's process.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn measure(place: &Path) -> Result<Figures, Box<dyn Error>> {
    let path = place.join("ours.sock");
    let server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .arg(&path)
        .spawn()?;
    let _server = Server(server);
    while open(&path).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut figures = calls(&path).await?;
    figures.push(("connect and call", sessions(&path).await?));
    figures.push(("calls of 16 clients", crowd(&path).await?));
    figures.push(("echoes of 1 MiB", large(&path).await?));
    figures.push(("events of one stream", events(&path).await?));
    Ok(figures)
}

async fn open(path: &Path) -> std::io::Result<BenchClient> {
    Ok(Client::open_trusting(path, Trust::RootOrSelf).await?.into())
}

async fn calls(path: &Path) -> Result<Figures, Box<dyn Error>> {
    const COUNT: usize = 20_000;
    let mut client = open(path).await?;
    let text: Text<0, 2_000_000> = "hello".parse()?;
    let mut times = Vec::new();
    let started = Instant::now();
    for _ in 0..COUNT {
        let called = Instant::now();
        client.echo(text.clone()).await?;
        times.push(micros(called.elapsed()));
    }
    Ok(vec![
        ("calls of one client", rate(COUNT, started)),
        ("call, median", quantile(&mut times, 0.5)),
        ("call, 99th of 100", quantile(&mut times, 0.99)),
    ])
}

async fn sessions(path: &Path) -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..1000 {
        let started = Instant::now();
        open(path).await?.echo("hello".parse()?).await?;
        times.push(micros(started.elapsed()));
    }
    Ok(quantile(&mut times, 0.5))
}

async fn crowd(path: &Path) -> Result<f64, Box<dyn Error>> {
    const EACH: usize = 2000;
    let mut tasks = tokio::task::JoinSet::new();
    let started = Instant::now();
    for _ in 0..16 {
        let mut client = open(path).await?;
        let text: Text<0, 2_000_000> = "hello".parse()?;
        tasks.spawn(async move {
            for _ in 0..EACH {
                if client.echo(text.clone()).await.is_err() {
                    return false;
                }
            }
            true
        });
    }
    while let Some(done) = tasks.join_next().await {
        if !done? {
            return Err("a call of the crowd has failed".into());
        }
    }
    Ok(rate(16 * EACH, started))
}

async fn large(path: &Path) -> Result<f64, Box<dyn Error>> {
    const COUNT: usize = 100;
    let mut client = open(path).await?;
    let text: Text<0, 2_000_000> = "x".repeat(1 << 20).parse()?;
    let started = Instant::now();
    for _ in 0..COUNT {
        client.echo(text.clone()).await?;
    }
    Ok(rate(COUNT, started))
}

async fn events(path: &Path) -> Result<f64, Box<dyn Error>> {
    const COUNT: u32 = 100_000;
    let mut client = open(path).await?;
    let started = Instant::now();
    let mut ticks = client.ticks(COUNT).await?;
    let mut seen = 0;
    while let Some(tick) = ticks.next().await {
        tick?;
        seen += 1;
    }
    Ok(rate(seen, started))
}
