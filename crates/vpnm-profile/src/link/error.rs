//! Why a link is refused, and what of a link is left out of account.

use std::fmt;

use vpnm_wire::HostError;

use crate::{AlpnError, IdError, PathError};

/// Longest piece of a link that a message repeats, in characters.
const MAX_SHOWN: usize = 40;

/// Why a text is no link that can be used. No message repeats the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The text is longer than any link.
    #[error("the link is longer than {} bytes", super::MAX_LINK)]
    TooLong,
    /// The text is no link at all.
    #[error("this is no share link: it does not begin with vless:// or vmess://")]
    NoScheme,
    /// A link of a protocol that is not spoken here.
    #[error("not supported yet: {0}:// links; accepted: vless://, vmess://")]
    Scheme(String),
    /// There is no `@` between the id and the server.
    #[error("the link has no '@': it must look like {0}")]
    NoServer(&'static str),
    /// What follows `vmess://` is neither base64 nor `id@server:port`.
    #[error("what follows vmess:// is neither base64 nor id@server:port")]
    Base64,
    /// What follows `vmess://` is base64 of something that is no JSON object.
    #[error("the base64 after vmess:// does not hold a JSON object")]
    Json,
    /// A key that is needed is absent or empty.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// The value of a key is malformed.
    #[error("{key} is wrong: {reason}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        reason: Reason,
    },
    /// The value of a key asks for what is not done here.
    #[error("not supported yet: {key}={value}; accepted: {accepted}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value, shortened.
        value: String,
        /// The values that are.
        accepted: &'static str,
    },
}

/// What is wrong with the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The user's id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A host name or address.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A WebSocket path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The name of an application protocol.
    #[error(transparent)]
    Alpn(#[from] AlpnError),
    /// A port.
    #[error("it is not a number from 1 to 65535")]
    Port,
    /// The same key again with another value.
    #[error("it is there twice with different values")]
    Twice,
    /// A percent sign that stands for no byte, or bytes that are no UTF-8.
    #[error("its percent-encoding does not give UTF-8 text")]
    Escape,
    /// A JSON value that is no text, number or truth value.
    #[error("it is neither a text nor a number")]
    Kind,
}

/// One key of a link that was left out of account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The key as the link has it, shortened.
    pub key: String,
    /// Why it makes no difference.
    pub why: &'static str,
}

impl LinkError {
    pub(super) fn invalid(key: &'static str, reason: impl Into<Reason>) -> Self {
        let reason = reason.into();
        Self::Invalid { key, reason }
    }

    pub(super) fn unsupported(key: &'static str, value: &str, accepted: &'static str) -> Self {
        let value = shown(value);
        Self::Unsupported {
            key,
            value,
            accepted,
        }
    }
}

impl Ignored {
    pub(super) const UNKNOWN: &str = "not known here";

    /// Whether nobody knows what the key means: a slip, or a setting of another
    /// program that may matter.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.why == Self::UNKNOWN
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

/// A piece of a link fit for a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    let visible = text.chars().filter(|c| !c.is_control());
    let mut shown: String = visible.clone().take(MAX_SHOWN).collect();
    if visible.count() > MAX_SHOWN {
        shown.push('…');
    }
    shown
}
