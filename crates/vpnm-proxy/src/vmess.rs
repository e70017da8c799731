//! VMess in its AEAD form.
//!
//! The format is that of v2fly's `proxy/vmess`: [`auth`] says who asks and when,
//! [`header`] seals the request and opens the response, [`body`] seals and opens
//! the chunks. All three are pure: time and randomness are arguments.

pub mod auth;
pub mod body;
mod cipher;
mod datagrams;
pub mod header;
mod kdf;
mod session;
mod stream;
#[cfg(test)]
mod vectors;

pub use cipher::Cipher;
pub(crate) use datagrams::VmessDatagrams;
pub(crate) use session::Session;
pub(crate) use stream::VmessStream;
