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
/// From an error of a listener until it is asked again.
const PAUSE: Duration = Duration::from_millis(100);

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

    /// Serves each listener in a task of its own, for as long as the runtime runs.
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
        let (length, peer) = next(async || socket.recv_from(&mut space).await).await;
        let message = space.get(..length).unwrap_or_default();
        let socket = Rc::clone(&socket);
        names.ask(
            Client::Datagram { socket, peer },
            message,
            Carriage::Datagram,
        );
    }
}

async fn streams(names: &Names, listener: &TcpListener) {
    let places = Arc::new(Semaphore::new(STREAMS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (stream, _) = next(async || listener.accept().await).await;
        let names = names.clone();
        tokio::task::spawn_local(async move {
            if let Err(error) = names.serve_stream(stream).await {
                tracing::debug!(%error, "a DNS stream broke");
            }
            drop(place);
        });
    }
}

/// What a listener brings next, whatever it reports before: some errors pass, as those of a
/// client that has gone, and one that lasts must not take a processor.
async fn next<T>(mut receive: impl AsyncFnMut() -> io::Result<T>) -> T {
    loop {
        match receive().await {
            Ok(received) => return received,
            Err(error) => {
                tracing::debug!(%error, "a listener of names reports an error");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_error_that_lasts_is_met_ten_times_a_second() {
        let begun = Instant::now();
        let mut errors = 0;
        let received = next(async || {
            if begun.elapsed() < Duration::from_secs(60) {
                errors += 1;
                return Err(io::ErrorKind::NetworkDown.into());
            }
            Ok("a query")
        });
        assert_eq!(received.await, "a query");
        assert_eq!(errors, 600);
    }
}
