//! Why a flow could not be opened through the server, and what to check.

use std::io;
use std::time::Duration;

/// Why an outbound cannot be built from a profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// There is no address to connect to.
    #[error("the server has no address")]
    NoAddress,
    /// The TLS settings cannot be used.
    #[error("the TLS settings cannot be used")]
    Tls(#[source] rustls::Error),
    /// The server name is none that a certificate can be checked against.
    #[error("{name} is no name that a certificate can be checked against")]
    ServerName {
        /// The name.
        name: String,
    },
}

/// Why a flow could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The server's host answers, and nothing listens on the port.
    #[error("the server refused the connection: nothing listens on that port")]
    Refused,
    /// There is no way to the server's address.
    #[error("the server cannot be reached: no route to its address")]
    Unreachable,
    /// A step took too long.
    #[error("no answer within {} s while {step}", limit.as_secs())]
    TimedOut {
        /// What was being done.
        step: Step,
        /// The time it was given.
        limit: Duration,
    },
    /// The server's certificate does not stand up.
    #[error("the server's certificate is not valid: {reason}")]
    Certificate {
        /// What is wrong with it.
        reason: CertificateFault,
    },
    /// The TLS handshake failed for another reason.
    #[error("the TLS handshake failed: {reason}")]
    Tls {
        /// What went wrong.
        reason: String,
    },
    /// The server answered the WebSocket request with something else.
    #[error("the server answered the WebSocket request with HTTP status {status}")]
    WebSocket {
        /// The HTTP status.
        status: u16,
    },
    /// What answers is no HTTP server, or no WebSocket server.
    #[error("the server's answer to the WebSocket request is wrong: {reason}")]
    Handshake {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The server closed the connection before it answered anything.
    #[error("the server closed the connection without an answer")]
    Rejected,
    /// Another failure of the connection.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

/// The steps of opening a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Opening the TCP connection.
    Connecting,
    /// Agreeing on TLS.
    Tls,
    /// Asking for the WebSocket.
    WebSocket,
    /// Handing over the header.
    Sending,
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not begun.
    #[error("it is not valid yet")]
    NotYetValid,
    /// It is for other names.
    #[error("it is not for the name {expected}")]
    WrongName {
        /// The name that was asked for.
        expected: String,
    },
    /// Nobody trusted has signed it.
    #[error("it is signed by nobody this machine trusts")]
    UnknownIssuer,
    /// Its issuer has withdrawn it.
    #[error("it has been revoked")]
    Revoked,
    /// A signature in it, or made with it, is wrong.
    #[error("a signature is wrong")]
    Signature,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// The server ended the connection before a single byte of its answer.
///
/// VLESS and VMess servers say nothing about a wrong id: they close. The same
/// happens where the destination closed without having sent anything. Carried
/// inside an [`io::Error`]; see [`is_rejection`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server closed the connection without an answer")]
pub struct Rejected;

/// Whether an error of a stream or of datagrams means [`Rejected`].
#[must_use]
pub fn is_rejection(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Rejected>())
}

impl From<Rejected> for io::Error {
    fn from(rejected: Rejected) -> Self {
        Self::new(io::ErrorKind::ConnectionAborted, rejected)
    }
}

impl DialError {
    /// A short name that stays the same across versions.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut { .. } => "timed-out",
            Self::Certificate { .. } => "certificate",
            Self::Tls { .. } => "tls",
            Self::WebSocket { .. } => "websocket",
            Self::Handshake { .. } => "handshake",
            Self::Rejected => "rejected",
            Self::Io(_) => "io",
        }
    }

    /// What the user should check.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Refused => "check the port, and that the server is running",
            Self::Unreachable => "check the server's address and this machine's network",
            Self::TimedOut {
                step: Step::Connecting,
                ..
            } => "check the server's address and port, and whether a firewall drops the traffic",
            Self::TimedOut { .. } => {
                "check that the link's transport and security are those of the server"
            }
            Self::Certificate { reason } => match reason {
                CertificateFault::Expired | CertificateFault::NotYetValid => {
                    "check this machine's clock, else the server needs a new certificate"
                }
                CertificateFault::WrongName { .. } => "check the link's sni",
                CertificateFault::UnknownIssuer => {
                    "the server needs a certificate of a known authority, or its authority must be \
                     added to this machine's"
                }
                CertificateFault::Revoked
                | CertificateFault::Signature
                | CertificateFault::Other(_) => "the server needs another certificate",
            },
            Self::Tls { .. } => "check that the server speaks TLS on that port",
            Self::WebSocket { .. } => "check the link's path and host",
            Self::Handshake { .. } => "check that the server speaks WebSocket on that port",
            Self::Rejected => {
                "check the id; for VMess also this machine's clock, which must be right to 2 minutes"
            }
            Self::Io(_) => "try again; if it stays, check the server",
        }
    }

    /// Sorts what the system or a layer below reports.
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        if is_rejection(&error) {
            return Self::Rejected;
        }
        Self::from_io_kind(error.kind()).unwrap_or(Self::Io(error))
    }

    /// The failure that a kind of error alone tells.
    pub(crate) fn from_io_kind(kind: io::ErrorKind) -> Option<Self> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the kinds of io errors are open"
        )]
        match kind {
            io::ErrorKind::ConnectionRefused => Some(Self::Refused),
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => Some(Self::Unreachable),
            _ => None,
        }
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Tls => "agreeing on TLS",
            Self::WebSocket => "asking for the WebSocket",
            Self::Sending => "handing over the destination",
        })
    }
}
