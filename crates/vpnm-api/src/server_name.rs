//! The name of a server as a parameter.

use serde::{Deserialize, Serialize};
use vpnm_wire::{Domain, Host, HostError};

/// A domain name; never an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, anyd::Type)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Domain);

/// Why a text is no server's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerNameError {
    /// It is no host at all.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It is an address.
    #[error("an address needs no resolving")]
    Address,
}

impl ServerName {
    /// The name.
    #[must_use]
    pub fn domain(&self) -> &Domain {
        &self.0
    }
}

impl From<Domain> for ServerName {
    fn from(name: Domain) -> Self {
        Self(name)
    }
}

impl TryFrom<String> for ServerName {
    type Error = ServerNameError;

    fn try_from(text: String) -> Result<Self, ServerNameError> {
        match text.parse()? {
            Host::Domain(name) => Ok(Self(name)),
            Host::Ip(_) => Err(ServerNameError::Address),
        }
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_address() {
        let name: ServerName = serde_json::from_str("\"Vpn.Example.COM\"").unwrap();
        assert_eq!(name.domain().as_str(), "vpn.example.com");
        for wrong in ["\"192.0.2.1\"", "\"::1\"", "\"\"", "\"a b\"", "7"] {
            assert!(
                serde_json::from_str::<ServerName>(wrong).is_err(),
                "{wrong}"
            );
        }
    }
}
