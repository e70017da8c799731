//! A share link as a parameter: checked when it is read, secret when it is printed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vpnm_profile::{LinkError, Profile};

/// A [`Profile`] that travels as its share link. Neither `Debug` nor `Display`
/// print its secret.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShareLink(pub Profile);

impl anyd::Type for ShareLink {
    const SECRET: bool = true;

    fn idl(types: &mut anyd::idl::Types) -> String {
        String::idl(types)
    }
}

impl FromStr for ShareLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        text.parse().map(Self)
    }
}

impl From<Profile> for ShareLink {
    fn from(profile: Profile) -> Self {
        Self(profile)
    }
}

impl fmt::Debug for ShareLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShareLink").field(&self.0.server).finish()
    }
}
