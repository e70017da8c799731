//! Where a server's flows go.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use vpnm_wire::{Domain, Host, Target};

use crate::BoxStream;

/// How long connecting to a destination may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A flow being opened.
pub type EgressFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;
/// A name being looked up.
pub type NameFuture<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Opens what clients ask for.
pub trait Egress: Send + Sync {
    /// Connects to a destination.
    fn tcp<'a>(&'a self, target: &'a Target) -> EgressFuture<'a, BoxStream>;
    /// A socket connected to a destination.
    fn udp<'a>(&'a self, target: &'a Target) -> EgressFuture<'a, UdpSocket>;
}

/// Finds the addresses of names.
pub trait Names: Send + Sync {
    /// The addresses of a name, each with `port`, best first.
    fn look_up<'a>(&'a self, name: &'a Domain, port: u16) -> NameFuture<'a>;
}

/// Straight to the destination from this machine.
pub struct Direct {
    names: Arc<dyn Names>,
}

impl Direct {
    /// With `names` to look up the destinations that are names.
    #[must_use]
    pub fn new(names: Arc<dyn Names>) -> Self {
        Self { names }
    }

    async fn addresses(&self, target: &Target) -> io::Result<Vec<SocketAddr>> {
        match &target.host {
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, target.port)]),
            Host::Domain(name) => self.names.look_up(name, target.port).await,
        }
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl Egress for Direct {
    fn tcp<'a>(&'a self, target: &'a Target) -> EgressFuture<'a, BoxStream> {
        Box::pin(async move {
            let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in self.addresses(target).await? {
                match timeout(CONNECT, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => {
                        stream.set_nodelay(true)?;
                        return Ok(Box::new(stream) as BoxStream);
                    }
                    Ok(Err(error)) => last = error,
                    Err(late) => last = late.into(),
                }
            }
            Err(last)
        })
    }

    fn udp<'a>(&'a self, target: &'a Target) -> EgressFuture<'a, UdpSocket> {
        Box::pin(async move {
            let addresses = self.addresses(target).await?;
            let address = *addresses.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
            let any = match address {
                SocketAddr::V4(_) => "0.0.0.0:0",
                SocketAddr::V6(_) => "[::]:0",
            };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            Ok(socket)
        })
    }
}
