//! Proxy protocols and their transports.
//!
//! The codecs (`vless`, `vmess`, `ws`) are pure: bytes in, bytes out, with time
//! and randomness as arguments. The transports are asynchronous layers over a
//! [`BoxStream`]; [`Outbound`] stacks them as a profile says and opens flows
//! through the server. [`inbound`] is the other end.
//!
//! Nothing here opens a socket by itself: whoever builds an [`Outbound`] hands it
//! a [`Dialer`].

#![forbid(unsafe_code)]

mod address;
mod answer;
mod buffer;
#[cfg(test)]
mod corpus;
mod datagrams;
mod dialer;
mod error;
#[cfg(test)]
mod hex;
pub mod inbound;
mod outbound;
mod race;
mod random;
pub mod socks5;
mod stream;
mod timeouts;
mod tls;
mod transport;
pub mod vless;
pub mod vmess;
pub mod ws;

pub use datagrams::{BoxDatagrams, Datagrams, recv, send};
pub use dialer::{DialFuture, Dialer, TcpDialer};
pub use error::{CertificateFault, DialError, OutboundError, Rejected, Step, is_rejection};
pub use outbound::Outbound;
pub use stream::{BoxStream, Stream};
pub use timeouts::Timeouts;
