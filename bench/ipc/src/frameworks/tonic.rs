//! tonic: gRPC, protobuf over HTTP/2.

use std::iter::Map;
use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::UdsConnectInfo;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::service_fn;

use super::{LONGEST, own_uid};

/// A text, there and back.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Echoed {
    /// The text.
    #[prost(string, tag = "1")]
    pub arg: String,
}

/// How many ticks are asked for.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Count {
    /// The number.
    #[prost(uint32, tag = "1")]
    pub count: u32,
}

/// An event.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Tick {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub n: u32,
}

mod generated {
    include!(concat!(env!("OUT_DIR"), "/org.example.Bench.rs"));
}

use generated::bench_client::BenchClient;
use generated::bench_server::{Bench, BenchServer};

/// HTTP/2's windows: with the usual 64 KiB a long message waits for its reader
/// many times.
const WINDOW: u32 = 4 << 20;

struct Wall;

#[tonic::async_trait]
impl Bench for Wall {
    type TicksStream = tokio_stream::Iter<Map<Range<u32>, fn(u32) -> Result<Tick, Status>>>;

    async fn echo(&self, request: Request<Echoed>) -> Result<Response<Echoed>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn ticks(&self, request: Request<Count>) -> Result<Response<Self::TicksStream>, Status> {
        let count = request.into_inner().count;
        let tick: fn(u32) -> Result<Tick, Status> = |n| Ok(Tick { n });
        Ok(Response::new(tokio_stream::iter((0..count).map(tick))))
    }
}

/// Serves until it is killed.
#[tokio::main(flavor = "current_thread")]
pub async fn serve(path: &Path) -> Result<()> {
    let owner = own_uid()?;
    let admit = move |request: Request<()>| {
        let info = request.extensions().get::<UdsConnectInfo>();
        let uid = info.and_then(|info| info.peer_cred).map(|peer| peer.uid());
        if uid.is_some_and(|uid| uid == 0 || uid == owner) {
            return Ok(request);
        }
        Err(Status::permission_denied("only root and the owner"))
    };
    let bench = BenchServer::new(Wall).max_decoding_message_size(LONGEST);
    Server::builder()
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW)
        .add_service(InterceptedService::new(bench, admit))
        .serve_with_incoming(UnixListenerStream::new(UnixListener::bind(path)?))
        .await?;
    Ok(())
}

/// The client that is measured.
pub struct Client(BenchClient<Channel>);

impl super::Client for Client {
    async fn open(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let connect = service_fn(move |_| {
            let path = path.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
        });
        // The name is for HTTP only: the connector knows the way.
        let channel = Endpoint::from_static("http://bench.invalid")
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .connect_with_connector(connect)
            .await?;
        Ok(Self(
            BenchClient::new(channel).max_decoding_message_size(LONGEST),
        ))
    }

    async fn echo(&mut self, text: &str) -> Result<usize> {
        let arg = text.to_owned();
        Ok(self.0.echo(Echoed { arg }).await?.into_inner().arg.len())
    }

    async fn ticks(&mut self, count: u32) -> Result<u32> {
        let mut ticks = self.0.ticks(Count { count }).await?.into_inner();
        let mut seen = 0;
        while ticks.message().await?.is_some() {
            seen += 1;
        }
        Ok(seen)
    }
}
