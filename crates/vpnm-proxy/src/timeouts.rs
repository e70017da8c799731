//! How long the steps of opening a flow may take.

use std::time::Duration;

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
        let each = Duration::from_secs(8);
        Self {
            connect: each,
            tls: each,
            websocket: each,
            header: each,
        }
    }
}
