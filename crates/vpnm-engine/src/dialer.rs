//! Plain sockets to the proxy server, past the tunnel.
//!
//! The kernel routes by the uid of the process that made a socket: what the
//! engine opens itself takes the machine's ordinary routes, everything else the
//! tunnel. So these sockets are made here and nowhere else. Where they may lead is the
//! packet filter's to say.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::net::{TcpSocket, UdpSocket};
use vpnm_proxy::{BoxStream, DialFuture, Dialer};

use crate::local_port;

/// Unacknowledged data older than this breaks the connection: the path is dead.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// Opens TCP connections that bypass the tunnel, and remembers the last that stood.
///
/// Small writes go out at once. Buffer sizes and congestion control stay the
/// kernel's: its own tuning grows the buffers with the path, a fixed size ends that.
#[derive(Debug, Default)]
pub struct BypassDialer {
    last: Mutex<Option<SocketAddr>>,
}

impl BypassDialer {
    /// The address of the last connection that stood.
    #[must_use]
    pub fn last(&self) -> Option<SocketAddr> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<BoxStream> {
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_nodelay(true)?;
        local_port::take_any(&socket);
        let patience = u32::try_from(GIVE_UP_AFTER.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(&socket, patience)?;
        let stream = socket.connect(to).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        Ok(Box::new(stream))
    }
}

/// A socket for datagrams to and from one peer; the kernel chooses its port.
pub(crate) fn datagrams_with(peer: SocketAddr) -> io::Result<UdpSocket> {
    let family = match peer {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    rustix::net::connect(&socket, &peer)?;
    UdpSocket::from_std(socket.into())
}

impl Dialer for BypassDialer {
    fn dial(&self, to: SocketAddr) -> DialFuture<'_> {
        Box::pin(self.connect(to))
    }
}
