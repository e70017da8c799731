//! The proxy and how it is reached.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use vpnm_proxy::socks5::{Command, Credentials, Handshake, SocksError, Step};
use vpnm_wire::{Host, Target};

/// A SOCKS 5 proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address.
    pub address: SocketAddr,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
    /// What keeps our own packets out of the device.
    pub bypass: Bypass,
}

/// What keeps the engine's own packets out of the device it serves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Bypass {
    /// Nothing here: a route, a rule or a namespace does.
    #[default]
    None,
    /// Sockets carry this firewall mark (`SO_MARK`; needs `CAP_NET_ADMIN`).
    Mark(u32),
    /// Sockets are bound to this interface (`SO_BINDTODEVICE`).
    Interface(String),
}

/// Why the proxy did not serve a flow.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the proxy cannot be reached")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Socks(#[from] SocksError),
    #[error("the proxy took too long")]
    TimedOut,
    #[error("the proxy named its UDP relay by a domain name")]
    RelayName,
}

impl Proxy {
    /// A connection through the proxy.
    pub(super) async fn connect(
        &self,
        target: Target,
        within: Duration,
    ) -> Result<TcpStream, ProxyError> {
        let (stream, _) = deadline(within, self.handshake(Command::Connect, target)).await?;
        Ok(stream)
    }

    /// The control stream of an association, which lives as long as that, and its relay.
    pub(super) async fn associate(
        &self,
        within: Duration,
    ) -> Result<(TcpStream, SocketAddr), ProxyError> {
        let nowhere: IpAddr = match self.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let target = Target::from(SocketAddr::new(nowhere, 0));
        let (control, relay) =
            deadline(within, self.handshake(Command::UdpAssociate, target)).await?;
        let relay = self.relay_address(&relay)?;
        Ok((control, relay))
    }

    async fn handshake(
        &self,
        command: Command,
        target: Target,
    ) -> Result<(TcpStream, Target), ProxyError> {
        let mut stream = self.dial().await?;
        let mut handshake = Handshake::new(command, target, self.credentials.clone());
        let mut buffer = [0_u8; 260];
        loop {
            match handshake.poll() {
                Step::Send(bytes) => stream.write_all(&bytes).await?,
                Step::Read(count) => {
                    let wanted = buffer.get_mut(..count).ok_or(SocksError::Malformed)?;
                    stream.read_exact(wanted).await?;
                    handshake.handle_input(wanted)?;
                }
                Step::Done(bound) => return Ok((stream, bound)),
            }
        }
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        self.bypass.mark(&SockRef::from(&socket))?;
        socket.set_nodelay(true)?;
        socket.connect(self.address).await
    }

    /// An unspecified relay address means the proxy's own (a common reading of RFC 1928).
    fn relay_address(&self, relay: &Target) -> Result<SocketAddr, ProxyError> {
        let Host::Ip(ip) = relay.host else {
            return Err(ProxyError::RelayName);
        };
        let ip = if ip.is_unspecified() {
            self.address.ip()
        } else {
            ip
        };
        Ok(SocketAddr::new(ip, relay.port))
    }
}

impl Bypass {
    /// Has a new socket's packets pass the device by.
    pub(super) fn mark(&self, socket: &SockRef<'_>) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Mark(mark) => socket.set_mark(*mark),
            Self::Interface(name) => socket.bind_device(Some(name.as_bytes())),
        }
    }
}

async fn deadline<T>(
    within: Duration,
    work: impl Future<Output = Result<T, ProxyError>>,
) -> Result<T, ProxyError> {
    tokio::time::timeout(within, work)
        .await
        .unwrap_or(Err(ProxyError::TimedOut))
}
