//! The URL form of a link: `id@server:port?key=value&…#name`.

use super::error::{LinkError, Reason};
use super::fields::{Fields, Parts};

/// What the URL form looks like, for messages.
const SHAPE: &str = "scheme://id@server:port?key=value#name";

/// Splits what follows `scheme://`.
///
/// The splitting is that of RFC 3986, forgiving what links in the wild do: `?`
/// and `/` unescaped inside the query, a `/` before the `?`, `&amp;` for `&`.
pub(super) fn split(text: &str) -> Result<Parts, LinkError> {
    let (text, name) = text.split_once('#').unwrap_or((text, ""));
    let (authority, query) = text.split_once('?').unwrap_or((text, ""));
    let (id, server) = authority
        .rsplit_once('@')
        .ok_or(LinkError::NoServer(SHAPE))?;
    let server = server.trim_end_matches('/');
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (server, ""),
    };
    Ok(Parts {
        id: decode("the id before '@'", id)?,
        host: decode("the server", host)?,
        port: port.to_owned(),
        name: decode_lossy(name),
        fields: fields(query)?,
    })
}

fn fields(query: &str) -> Result<Fields, LinkError> {
    let mut fields = Fields::default();
    for pair in query.split('&') {
        let pair = pair.strip_prefix("amp;").unwrap_or(pair);
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        fields.push(decode_lossy(key), decode("a value of the query", value)?);
    }
    Ok(fields)
}

/// The text that percent-encoded text stands for; a `%` that begins no escape stands for itself.
fn decode(key: &'static str, text: &str) -> Result<String, LinkError> {
    String::from_utf8(decode_bytes(text)).map_err(|_| LinkError::invalid(key, Reason::Escape))
}

fn decode_lossy(text: &str) -> String {
    String::from_utf8_lossy(&decode_bytes(text)).into_owned()
}

fn decode_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, escape(after)) {
            (b'%', Some((decoded, after))) => {
                bytes.push(decoded);
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.split_first_chunk::<2>()?;
    let [high, low] = digits.map(|d| char::from(d).to_digit(16));
    let byte = u8::try_from(high? << 4 | low?).ok()?;
    Some((byte, after))
}

/// Percent-encodes all but the unreserved characters of RFC 3986 and those of `keep`.
pub(super) fn encode(text: &str, keep: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || (c.is_ascii() && keep.contains(c)) {
            encoded.push(c);
        } else {
            encoded.push('%');
            for nibble in [byte >> 4, byte & 15] {
                encoded.extend(char::from_digit(nibble.into(), 16).map(|d| d.to_ascii_uppercase()));
            }
        }
    }
    encoded
}
