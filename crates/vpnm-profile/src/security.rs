//! What protects the transport.

use std::fmt;
use std::str::FromStr;

use vpnm_wire::Host;

/// The layer that hides the transport from the network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Security {
    /// Nothing: who is on the path sees the transport's bytes.
    None,
    /// TLS with the certificate checked against the system's roots.
    Tls(Tls),
}

/// How to speak TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The name the certificate must be for; where absent, the WebSocket's host, then the server's.
    pub server_name: Option<Host>,
    /// The application protocols offered, in order; a WebSocket always offers `http/1.1` alone.
    pub alpn: Vec<Alpn>,
}

/// The name of an application protocol (RFC 7301): 1 to 32 letters, digits, `.`, `/`, `-` or `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alpn(Box<str>);

/// The text names no application protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not 1 to 32 letters, digits, '.', '/', '-' or '_'")]
pub struct AlpnError;

impl Alpn {
    /// The name as it travels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Alpn {
    type Err = AlpnError;

    fn from_str(text: &str) -> Result<Self, AlpnError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/' | b'-' | b'_');
        if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.into()))
        } else {
            Err(AlpnError)
        }
    }
}

impl fmt::Display for Alpn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
