//! SOCKS version 5, the client's side (RFC 1928, RFC 1929).
//!
//! [`Handshake`] is pure: [`Handshake::poll`] says how many bytes to read next, so
//! that not one byte of what follows the reply is taken from the stream.

mod address;
mod datagram;
mod handshake;

pub use datagram::{DatagramError, decode_datagram, encode_datagram};
pub use handshake::{Command, Credentials, CredentialsError, Handshake, SocksError, Step};
