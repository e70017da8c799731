//! Who opens the connection to the server.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::TcpStream;

use crate::BoxStream;

/// A connection being opened.
pub type DialFuture<'a> = Pin<Box<dyn Future<Output = io::Result<BoxStream>> + Send + 'a>>;

/// Opens byte streams to addresses. The only way by which an outbound reaches the network.
pub trait Dialer: Send + Sync {
    /// Connects to `to`. The caller bounds the time and drops the future to give up.
    fn dial(&self, to: SocketAddr) -> DialFuture<'_>;
}

/// Plain TCP sockets, without delay of small writes.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDialer;

impl Dialer for TcpDialer {
    fn dial(&self, to: SocketAddr) -> DialFuture<'_> {
        Box::pin(async move {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}
