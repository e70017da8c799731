//! The request for a WebSocket and its answer (RFC 6455 section 4).

use std::fmt::Write as _;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use vpnm_profile::{EarlyDataPlace, Path};

/// The longest answer read, in bytes.
pub const MAX_ANSWER: usize = 16 * 1024;

/// What the server's proof is made of beside the key (section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A request for a WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The path asked for.
    pub path: &'a Path,
    /// The `Host` header, with the port where it is not the usual one.
    pub host: &'a str,
    /// Sixteen random bytes.
    pub key: [u8; 16],
    /// Bytes that travel in the request, and where.
    pub early: Option<(EarlyDataPlace, &'a [u8])>,
}

/// Why an answer opens no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// An HTTP status other than 101.
    #[error("HTTP status {0}")]
    Status(u16),
    /// It is not HTTP/1.1, or no header ends a line as it should.
    #[error("it is not HTTP")]
    NotHttp,
    /// It is longer than any sensible answer.
    #[error("it is longer than {MAX_ANSWER} bytes")]
    TooLong,
    /// `Upgrade: websocket` or `Connection: upgrade` is missing.
    #[error("it does not agree to upgrade to a WebSocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Accept` is missing or wrong.
    #[error("Sec-WebSocket-Accept does not fit the request")]
    Accept,
    /// It agrees on an extension that was not offered.
    #[error("it uses an extension that was not offered")]
    Extension,
}

impl Request<'_> {
    /// The request as it travels.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut path = self.path.to_string();
        let mut protocol = String::new();
        match self.early {
            Some((EarlyDataPlace::Path, bytes)) => URL_SAFE_NO_PAD.encode_string(bytes, &mut path),
            Some((EarlyDataPlace::Header, bytes)) if !bytes.is_empty() => {
                protocol.push_str("Sec-WebSocket-Protocol: ");
                URL_SAFE_NO_PAD.encode_string(bytes, &mut protocol);
                protocol.push_str("\r\n");
            }
            Some((EarlyDataPlace::Header, _)) | None => {}
        }
        let (host, key) = (self.host, STANDARD.encode(self.key));
        let mut text = String::with_capacity(path.len() + protocol.len() + 256);
        let _infallible = write!(
            text,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {key}\r\n{protocol}\r\n"
        );
        text.into_bytes()
    }
}

/// Judges the answer to a request with `key`: how long it is, or nothing while it is not complete.
///
/// # Errors
/// [`AnswerError`] when it opens no WebSocket.
pub fn decode_answer(bytes: &[u8], key: [u8; 16]) -> Result<Option<usize>, AnswerError> {
    let start = b"HTTP/1.";
    if !bytes
        .iter()
        .zip(start)
        .all(|(byte, expected)| byte == expected)
    {
        return Err(AnswerError::NotHttp);
    }
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() >= MAX_ANSWER {
            Err(AnswerError::TooLong)
        } else {
            Ok(None)
        };
    };
    let head = bytes.get(..end).unwrap_or_default();
    let head = str::from_utf8(head).map_err(|_| AnswerError::NotHttp)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status = status.and_then(|code| code.parse::<u16>().ok());
    match status.ok_or(AnswerError::NotHttp)? {
        101 => check_headers(lines, key).map(|()| Some(end + 4)),
        other => Err(AnswerError::Status(other)),
    }
}

fn check_headers(lines: std::str::Split<'_, &str>, key: [u8; 16]) -> Result<(), AnswerError> {
    let (mut upgrade, mut connection, mut accept) = (false, false, false);
    let proof = accept_of(key);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(AnswerError::NotHttp)?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => upgrade = value.eq_ignore_ascii_case("websocket"),
            "connection" => {
                let mut tokens = value.split(',').map(str::trim);
                connection = tokens.any(|token| token.eq_ignore_ascii_case("upgrade"));
            }
            "sec-websocket-accept" => accept = value == proof,
            "sec-websocket-extensions" => return Err(AnswerError::Extension),
            _ => {}
        }
    }
    if !upgrade || !connection {
        return Err(AnswerError::NoUpgrade);
    }
    if accept {
        Ok(())
    } else {
        Err(AnswerError::Accept)
    }
}

/// What a server proves with that it has understood the request (section 4.2.2).
#[must_use]
pub fn accept_of(key: [u8; 16]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(STANDARD.encode(key).as_bytes());
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests;
