//! Share links: one line of text that says how to reach a server.
//!
//! `vless://` and the URL form of `vmess://` follow the proposal for VLESS and
//! VMess AEAD share links that Xray publishes; `vmess://` followed by base64 is
//! the version 2 JSON of v2rayN.

mod error;
mod fields;
mod json;
mod read;
mod url;
mod write;

use std::str::FromStr;

pub use error::{Ignored, LinkError, Reason};

use crate::Profile;
use fields::Dialect;

/// Longest link read, in bytes.
const MAX_LINK: usize = 16 * 1024;

/// What a share link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The way to the server.
    pub profile: Profile,
    /// What the link says besides and what was left out of account, in the link's order.
    pub ignored: Vec<Ignored>,
}

impl FromStr for Link {
    type Err = LinkError;

    /// Reads a share link; white space around it is dropped.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        if text.len() > MAX_LINK {
            return Err(LinkError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(LinkError::NoScheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "vless" => url::split(rest).and_then(|parts| read::vless(parts, &Dialect::URL)),
            "vmess"
                if rest
                    .split(['?', '#'])
                    .next()
                    .is_some_and(|s| s.contains('@')) =>
            {
                url::split(rest).and_then(|parts| read::vmess(parts, &Dialect::URL))
            }
            "vmess" => json::split(rest).and_then(|parts| read::vmess(parts, &Dialect::JSON)),
            other => Err(LinkError::Scheme(error::shown(other))),
        }
    }
}

impl Profile {
    /// The share link, with the secret in it; reading it gives this profile again.
    #[must_use]
    pub fn to_link(&self) -> String {
        write::write(self)
    }
}

impl FromStr for Profile {
    type Err = LinkError;

    /// Reads a share link, leaving out of account what [`Link`] would list.
    fn from_str(text: &str) -> Result<Self, LinkError> {
        text.parse().map(|link: Link| link.profile)
    }
}

impl TryFrom<String> for Profile {
    type Error = LinkError;

    fn try_from(text: String) -> Result<Self, LinkError> {
        text.parse()
    }
}

impl From<Profile> for String {
    fn from(profile: Profile) -> Self {
        profile.to_link()
    }
}

#[cfg(test)]
mod tests;
