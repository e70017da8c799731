//! Listeners the daemon bound: queries of sockets that pin another interface than the tunnel.

use std::io;
use std::net::{TcpListener as StdTcp, UdpSocket as StdUdp};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketType, sockopt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use vpnm_dns::Carriage;

use super::{Client, Names};

/// Streams that may be open at once on one listener.
const STREAMS: usize = 256;
/// Longest query a client may send by datagram.
const LONGEST_QUERY: usize = 4_096;

/// Why a descriptor is no listener.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The kernel would not tell or set what it is.
    #[error("a handed-over listener cannot be used")]
    Unusable(#[from] io::Error),
    /// It is a socket of another type.
    #[error("a handed-over descriptor is no UDP or TCP socket")]
    NoListener,
}

/// The listeners by which redirected queries come.
#[derive(Debug, Default)]
pub struct Listeners {
    datagrams: Vec<Rc<UdpSocket>>,
    streams: Vec<TcpListener>,
}

impl Listeners {
    /// Takes bound UDP sockets and listening TCP sockets over, in any order.
    ///
    /// # Errors
    /// [`ListenError`] for a descriptor that is neither.
    pub fn new(descriptors: Vec<OwnedFd>) -> Result<Self, ListenError> {
        let mut listeners = Self::default();
        for descriptor in descriptors {
            match sockopt::socket_type(&descriptor).map_err(io::Error::from)? {
                SocketType::DGRAM => {
                    let socket = StdUdp::from(descriptor);
                    socket.set_nonblocking(true)?;
                    let socket = UdpSocket::from_std(socket)?;
                    listeners.datagrams.push(Rc::new(socket));
                }
                SocketType::STREAM => {
                    let socket = StdTcp::from(descriptor);
                    socket.set_nonblocking(true)?;
                    listeners.streams.push(TcpListener::from_std(socket)?);
                }
                _ => return Err(ListenError::NoListener),
            }
        }
        Ok(listeners)
    }

    /// Serves each listener in a task of its own, for as long as the `LocalSet` runs.
    pub fn serve(self, names: &Names) {
        for socket in self.datagrams {
            let names = names.clone();
            tokio::task::spawn_local(async move { datagrams(&names, socket).await });
        }
        for listener in self.streams {
            let names = names.clone();
            tokio::task::spawn_local(async move { streams(&names, &listener).await });
        }
    }
}

async fn datagrams(names: &Names, socket: Rc<UdpSocket>) {
    let mut space = vec![0; LONGEST_QUERY];
    loop {
        match socket.recv_from(&mut space).await {
            Ok((length, peer)) => {
                let message = space.get(..length).unwrap_or_default();
                let socket = Rc::clone(&socket);
                names.ask(
                    Client::Datagram { socket, peer },
                    message,
                    Carriage::Datagram,
                );
            }
            // An ICMP error for an earlier answer; the socket itself lives on.
            Err(error) => tracing::trace!(%error, "a listener reports an error"),
        }
    }
}

async fn streams(names: &Names, listener: &TcpListener) {
    let places = Arc::new(Semaphore::new(STREAMS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let names = names.clone();
                tokio::task::spawn_local(async move {
                    if let Err(error) = names.serve_stream(stream).await {
                        tracing::debug!(%error, "a DNS stream broke");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a DNS stream could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
