//! This repository's `anyd`.

use std::convert::Infallible;
use std::path::Path;

use anyd::{Caller, Daemon, Events, Limits, Rate, Socket, Trust, Type, service};
use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{LONGEST, own_uid};

/// What `echo` returns.
#[derive(Serialize, Deserialize, Type)]
pub struct Echoed {
    arg: String,
}

/// An event.
#[derive(Serialize, Deserialize, Type)]
pub struct Tick {
    n: u32,
}

/// Echoes and ticks.
#[service(interface = "org.example.Bench")]
pub trait Bench {
    /// Returns its argument.
    #[access(any(root, owner))]
    async fn echo(&self, caller: &Caller, arg: String) -> Result<Echoed, Infallible>;
    /// Counts.
    #[access(any(root, owner))]
    async fn ticks(&self, caller: &Caller, count: u32, out: Events<Tick>)
    -> Result<(), Infallible>;
}

struct Wall {
    owner: u32,
}

impl Bench for Wall {
    fn owner(&self) -> Option<u32> {
        Some(self.owner)
    }

    async fn echo(&self, _: &Caller, arg: String) -> Result<Echoed, Infallible> {
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

/// Serves until it is killed.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(path: &Path) -> Result<()> {
    let limits = Limits {
        message: LONGEST,
        // Users other than root are held to a pace, which is not measured here.
        rate: Rate::per_sec(100_000_000),
        ..Limits::default()
    };
    Daemon::new(anyd::product!())
        .serve(BenchService(Wall { owner: own_uid()? }))
        .listen(Socket::path(path))
        .limits(limits)
        .run(anyd::signals())
        .await?;
    Ok(())
}

impl super::Client for BenchClient {
    async fn open(path: &Path) -> Result<Self> {
        let client = anyd::Client::open_trusting(path, Trust::RootOrSelf).await?;
        Ok(client.into())
    }

    async fn echo(&mut self, text: &str) -> Result<usize> {
        Ok(self.echo(text.to_owned()).await?.arg.len())
    }

    async fn ticks(&mut self, count: u32) -> Result<u32> {
        let mut ticks = self.ticks(count).await?;
        let mut seen = 0;
        while let Some(tick) = ticks.next().await {
            tick?;
            seen += 1;
        }
        Ok(seen)
    }
}

pub use BenchClient as Client;
