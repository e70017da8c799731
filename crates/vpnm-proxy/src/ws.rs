//! WebSocket (RFC 6455), as a carrier of bytes.
//!
//! [`frame`] and [`handshake`] are pure; the stream over them sends every write
//! as one binary message and reads the bytes of all messages as one stream.

pub mod frame;
pub mod handshake;
mod stream;

pub(crate) use stream::connect;
