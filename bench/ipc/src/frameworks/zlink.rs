//! zlink: Varlink as anyd speaks it, by another implementation.

use std::path::Path;

use anyhow::{Result, ensure};
use futures_util::{Stream, TryStreamExt as _, pin_mut, stream};
use serde::{Deserialize, Serialize};
use zlink::connection::socket::FetchPeerCredentials;
use zlink::introspect::{ReplyError as DescribedError, Type};
use zlink::tokio::unix;
use zlink::{Connection, Reply, ReplyError, Server, proxy, service};

use super::own_uid;

#[derive(Debug, Serialize, Deserialize, Type)]
struct Echoed {
    arg: String,
}

/// The same reply as the client sees it, borrowed from its buffer.
#[derive(Debug, Deserialize)]
struct Borrowed<'a> {
    arg: &'a str,
}

#[derive(Debug, Serialize, Deserialize, Type)]
struct Tick {
    n: u32,
}

#[derive(Debug, PartialEq, ReplyError, DescribedError)]
#[zlink(interface = "org.example.Bench")]
enum BenchError {
    Denied,
}

struct Wall {
    owner: u32,
}

#[service]
impl<Sock> Wall
where
    Sock::ReadHalf: FetchPeerCredentials,
{
    #[zlink(interface = "org.example.Bench")]
    async fn echo(
        &self,
        arg: String,
        #[zlink(connection)] connection: &mut Connection<Sock>,
    ) -> Result<Echoed, BenchError> {
        self.admit(connection).await?;
        Ok(Echoed { arg })
    }

    #[zlink(more)]
    async fn ticks(&self, _more: bool, count: u32) -> impl Stream<Item = Reply<Tick>> + Unpin {
        stream::iter(
            (0..count)
                .map(move |n| Reply::new(Some(Tick { n })).set_continues(Some(n + 1 < count))),
        )
    }
}

impl Wall {
    async fn admit<Sock>(&self, connection: &mut Connection<Sock>) -> Result<(), BenchError>
    where
        Sock: zlink::connection::Socket,
        Sock::ReadHalf: FetchPeerCredentials,
    {
        let credentials = connection.peer_credentials().await;
        let uid = credentials.map_err(|_| BenchError::Denied)?.unix_user_id();
        if uid.is_root() || uid.as_raw() == self.owner {
            return Ok(());
        }
        Err(BenchError::Denied)
    }
}

/// Serves until it is killed.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(path: &Path) -> Result<()> {
    let wall = Wall { owner: own_uid()? };
    Server::new(unix::bind(path)?, wall).run().await?;
    Ok(())
}

#[proxy("org.example.Bench")]
trait BenchProxy {
    async fn echo(&mut self, arg: &str) -> zlink::Result<Result<Borrowed<'_>, BenchError>>;
    #[zlink(more)]
    async fn ticks(
        &mut self,
        count: u32,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<Tick, BenchError>>>>;
}

/// The client that is measured.
pub struct Client(unix::Connection);

impl super::Client for Client {
    async fn open(path: &Path) -> Result<Self> {
        Ok(Self(unix::connect(path).await?))
    }

    async fn echo(&mut self, text: &str) -> Result<usize> {
        let answer = self.0.echo(text).await?;
        let echoed = answer.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        Ok(echoed.arg.len())
    }

    async fn ticks(&mut self, count: u32) -> Result<u32> {
        let ticks = self.0.ticks(count).await?;
        pin_mut!(ticks);
        let mut seen = 0;
        while let Some(tick) = ticks.try_next().await? {
            ensure!(tick.is_ok(), "a tick was refused");
            seen += 1;
        }
        Ok(seen)
    }
}
