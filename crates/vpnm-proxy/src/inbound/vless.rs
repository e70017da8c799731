//! A minimal VLESS server: TCP and UDP, any number of users.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, trace};
use vpnm_profile::Uuid;

use super::{Egress, relay};
use crate::BoxStream;
use crate::vless::{Command, RESPONSE, Request, VlessError};

/// How long a client may take to say what it wants.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// What is read before the request must be complete: it has at most 278 bytes.
const FIRST_READ: usize = 8 * 1024;
/// Clients served at the same time; more wait to be accepted.
const MAX_CLIENTS: usize = 4096;
/// The pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A VLESS server. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    users: Vec<Uuid>,
    egress: Arc<dyn Egress>,
}

/// Why a client was not served, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// It did not say in time what it wants.
    #[error("no request within {} s", HEADER_TIME.as_secs())]
    Late,
    /// It went away before it said what it wants.
    #[error("the client closed before its request was complete")]
    Closed,
    /// It does not speak VLESS.
    #[error("the request is malformed: {0}")]
    Malformed(#[from] VlessError),
    /// Nobody known.
    #[error("the id is unknown")]
    Unknown,
    /// What it asked for cannot be reached.
    #[error("the destination cannot be reached: {0}")]
    Destination(#[source] io::Error),
    /// The flow failed.
    #[error("the flow failed: {0}")]
    Flow(#[from] io::Error),
}

impl Server {
    /// Serves `users`, whose flows leave by `egress`.
    #[must_use]
    pub fn new(users: Vec<Uuid>, egress: Arc<dyn Egress>) -> Self {
        let shared = Arc::new(Shared { users, egress });
        Self { shared }
    }

    /// Serves whoever connects to `listener`, until the future is dropped.
    ///
    /// Each client is a task of the runtime that runs this.
    pub async fn serve(&self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, client)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%client, %error, "the client is gone");
                        continue;
                    }
                    let server = self.clone();
                    tokio::spawn(async move {
                        let _place = place;
                        server.serve_client(Box::new(stream), client).await;
                    });
                }
                Err(error) => {
                    debug!(%error, "accepting failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve_client(&self, stream: BoxStream, client: SocketAddr) {
        match self.serve_stream(stream).await {
            Ok(()) => trace!(%client, "the flow has ended"),
            Err(error) => debug!(%client, %error, "the flow was not served to its end"),
        }
    }

    /// Serves one client over a stream that may come from any transport.
    ///
    /// # Errors
    /// [`ServeError`] when the client was not served to its end. It is told nothing:
    /// the stream is dropped.
    pub async fn serve_stream(&self, mut stream: BoxStream) -> Result<(), ServeError> {
        let asked = timeout(HEADER_TIME, self.request(&mut stream)).await;
        let (request, unread) = asked.map_err(|_| ServeError::Late)??;
        let target = &request.target;
        match request.command {
            Command::Tcp => {
                let remote = self.shared.egress.tcp(target).await;
                let mut remote = remote.map_err(ServeError::Destination)?;
                stream.write_all(&RESPONSE).await?;
                remote.write_all(&unread).await?;
                relay::streams(stream, remote).await?;
            }
            Command::Udp => {
                let remote = self.shared.egress.udp(target).await;
                let remote = remote.map_err(ServeError::Destination)?;
                stream.write_all(&RESPONSE).await?;
                relay::datagrams(stream, &unread, remote).await?;
            }
        }
        Ok(())
    }

    /// Reads the request and whatever came with it.
    async fn request(&self, stream: &mut BoxStream) -> Result<(Request, Vec<u8>), ServeError> {
        let mut bytes = Vec::with_capacity(FIRST_READ);
        loop {
            if let Some((request, length)) = Request::decode(&bytes)? {
                if !self.knows(&request.id) {
                    return Err(ServeError::Unknown);
                }
                bytes.drain(..length);
                return Ok((request, bytes));
            }
            let mut limited = (&mut *stream).take(FIRST_READ as u64);
            if limited.read_buf(&mut bytes).await? == 0 {
                return Err(ServeError::Closed);
            }
        }
    }

    /// Whether one of the users has this id. Takes the same time whichever it is.
    fn knows(&self, id: &Uuid) -> bool {
        let same = |user: &Uuid| verify_slices_are_equal(user.as_bytes(), id.as_bytes()).is_ok();
        self.shared
            .users
            .iter()
            .fold(false, |known, user| known | same(user))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
