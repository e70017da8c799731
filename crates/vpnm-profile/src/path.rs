//! The path of a WebSocket request.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// Longest path kept, in bytes as sent; HTTP servers refuse request lines beyond 8 KiB.
const MAX_PATH: usize = 4096;

/// The path and query of an HTTP request: begins with `/`, printable ASCII without space or `#`.
///
/// Whatever a request line cannot carry is percent-encoded (RFC 3986 section
/// 2.1) when the path is read; percent signs that already introduce an escape
/// are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Box<str>);

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path is longer than any server takes.
    #[error("it is longer than {MAX_PATH} bytes")]
    TooLong,
    /// The query has a parameter that stands for early data, which is no part of the path.
    #[error("its parameters ed and eh are early data, not path")]
    EarlyData,
}

impl Path {
    /// The path `/`.
    #[must_use]
    pub fn root() -> Self {
        Self("/".into())
    }

    /// The path as it stands in a request line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Path {
    type Err = PathError;

    /// Reads a path; a missing leading `/` is added.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut path = String::with_capacity(text.len() + 1);
        if !text.starts_with('/') {
            path.push('/');
        }
        let mut rest = text.as_bytes();
        while let Some((&byte, after)) = rest.split_first() {
            let escape = after.first_chunk::<2>();
            let is_escape = escape.is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
            if byte.is_ascii_graphic() && byte != b'#' && (byte != b'%' || is_escape) {
                path.push(char::from(byte));
            } else {
                let _infallible = write!(path, "%{byte:02X}");
            }
            rest = after;
        }
        if path.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        let parameters = path.split_once('?').map_or("", |(_, query)| query);
        if parameters.split('&').any(is_early_data) {
            return Err(PathError::EarlyData);
        }
        Ok(Self(path.into()))
    }
}

/// Whether a query parameter is one that links write early data as.
fn is_early_data(parameter: &str) -> bool {
    parameter.starts_with("ed=") || parameter.starts_with("eh=")
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_fit_for_a_request_line() {
        let cases = [
            ("", "/"),
            ("ws", "/ws"),
            ("/a b\r\n", "/a%20b%0D%0A"),
            ("/%2F%zz%", "/%2F%25zz%25"),
            ("/x?y=1#z", "/x?y=1%23z"),
            ("/é", "/%C3%A9"),
        ];
        for (text, sent) in cases {
            let path: Path = text.parse().unwrap();
            assert_eq!(path.as_str(), sent, "{text}");
            assert_eq!(sent.parse(), Ok(path), "stable: {text}");
        }
        assert_eq!("/x?y&ed=1".parse::<Path>(), Err(PathError::EarlyData));
        assert_eq!("é".repeat(800).parse::<Path>(), Err(PathError::TooLong));
    }
}
