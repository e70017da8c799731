//! What carries the protocol to the server.

use std::num::NonZeroU16;

use vpnm_wire::Host;

use crate::Path;

/// The layer between the protocol and TCP or TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transport {
    /// The protocol's bytes as they are.
    Tcp,
    /// The protocol's bytes in the messages of a WebSocket (RFC 6455).
    WebSocket(WebSocket),
}

/// How to ask for a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WebSocket {
    /// The path asked for.
    pub path: Path,
    /// The `Host` header; the TLS server name and then the server's address where absent.
    pub host: Option<Host>,
    /// Whether the first bytes travel in the request itself.
    pub early_data: Option<EarlyData>,
}

/// First bytes sent in the WebSocket request, so that they cost no round trip of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EarlyData {
    /// At most so many bytes, before base64.
    pub limit: NonZeroU16,
    /// Where in the request they stand.
    pub place: EarlyDataPlace,
}

/// Where in a WebSocket request the early data stands, as base64url without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EarlyDataPlace {
    /// In the header `Sec-WebSocket-Protocol`.
    Header,
    /// Behind the last byte of the path.
    Path,
}
