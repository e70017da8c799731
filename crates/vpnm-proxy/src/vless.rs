//! VLESS: a header in front of a stream, and nothing more.
//!
//! The format is that of Xray's `proxy/vless/encoding`: request `0 | id | addons |
//! command | port | address`, response `0 | addons`, datagrams as `length u16 |
//! bytes`. There is no encryption; that is the transport's.

mod datagrams;
mod stream;

use std::ops::Range;

use vpnm_profile::Uuid;
use vpnm_wire::Target;

pub use crate::address::AddressError;
pub(crate) use datagrams::VlessDatagrams;
pub(crate) use stream::VlessStream;

use crate::address;

/// The only version there is.
const VERSION: u8 = 0;
const TCP: u8 = 1;
const UDP: u8 = 2;

/// A server's answer without addons.
pub const RESPONSE: [u8; 2] = [VERSION, 0];

/// What a client asks a server for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub id: Uuid,
    /// For what.
    pub command: Command,
    /// Whereto.
    pub target: Target,
}

/// The kind of flow asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A TCP connection.
    Tcp,
    /// Datagrams to and from one destination.
    Udp,
}

/// Why bytes are no VLESS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VlessError {
    /// A version other than 0.
    #[error("the version {0} is unknown")]
    Version(u8),
    /// A command other than TCP and UDP.
    #[error("the command {0} is unknown")]
    Command(u8),
    /// The request has addons, which change what follows.
    #[error("the request has addons, which are not supported")]
    Addons,
    /// The destination.
    #[error("the destination is wrong: {0}")]
    Address(#[from] AddressError),
}

impl Request {
    /// Appends the request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(self.id.as_bytes());
        out.push(0);
        out.push(match self.command {
            Command::Tcp => TCP,
            Command::Udp => UDP,
        });
        address::encode(&self.target, out);
    }

    /// Reads a request and how long it is; nothing while it is not complete.
    ///
    /// # Errors
    /// [`VlessError`] as soon as the bytes cannot become a request.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, VlessError> {
        let Some((&version, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        if version != VERSION {
            return Err(VlessError::Version(version));
        }
        let Some((id, rest)) = rest.split_first_chunk::<16>() else {
            return Ok(None);
        };
        let Some((&addons, rest)) = rest.split_first() else {
            return Ok(None);
        };
        if addons != 0 {
            return Err(VlessError::Addons);
        }
        let Some((&command, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let command = match command {
            TCP => Command::Tcp,
            UDP => Command::Udp,
            other => return Err(VlessError::Command(other)),
        };
        let Some((target, length)) = address::decode(rest)? else {
            return Ok(None);
        };
        let id = Uuid::from_bytes(*id);
        let request = Self {
            id,
            command,
            target,
        };
        Ok(Some((request, 19 + length)))
    }
}

/// The length of the response header at the beginning of `bytes`; nothing while it is not complete.
///
/// # Errors
/// [`VlessError::Version`] for a version that is unknown.
pub fn decode_response(bytes: &[u8]) -> Result<Option<usize>, VlessError> {
    let Some((&version, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if version != VERSION {
        return Err(VlessError::Version(version));
    }
    let Some(&addons) = rest.first() else {
        return Ok(None);
    };
    let length = 2 + usize::from(addons);
    Ok((bytes.len() >= length).then_some(length))
}

/// Appends a datagram; false, and nothing appended, if it is longer than 65535 bytes.
#[must_use]
pub fn encode_datagram(datagram: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(length) = u16::try_from(datagram.len()) else {
        return false;
    };
    out.extend(length.to_be_bytes());
    out.extend(datagram);
    true
}

/// Where in `bytes` the first datagram lies; nothing while it is not complete.
#[must_use]
pub fn decode_datagram(bytes: &[u8]) -> Option<Range<usize>> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    (rest.len() >= length).then(|| 2..2 + length)
}

#[cfg(test)]
mod tests;
