//! A resolver that is asked over HTTPS.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use vpnm_wire::{Domain, Host, HostError};

/// Longest path of a resolver in bytes.
const MAX_PATH: usize = 256;
/// Most addresses one resolver may have.
const MAX_ADDRESSES: usize = 8;

/// A DNS-over-HTTPS resolver (RFC 8484): known by address, so that finding it
/// needs no other resolver, and by the name its certificate must carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
#[serde(try_from = "UpstreamText", into = "UpstreamText")]
pub struct Upstream {
    addresses: Vec<IpAddr>,
    name: Domain,
    path: UpstreamPath,
}

/// The path of a resolver's endpoint: `/` and printable ASCII without spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamPath(String);

/// A resolver that is asked over HTTPS: where it is, the name in its certificate,
/// the path of its endpoint.
#[derive(Debug, Clone, Serialize, Deserialize, anyd::Type)]
#[serde(deny_unknown_fields)]
struct UpstreamText {
    addresses: Vec<IpAddr>,
    name: String,
    path: String,
}

/// Why a resolver is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// There is no address, or there are more than eight.
    #[error("a resolver needs 1 to {MAX_ADDRESSES} addresses")]
    Addresses,
    /// An address that cannot be a server on the internet or on this network.
    #[error("the resolver's address {0} cannot be a server")]
    Address(IpAddr),
    /// The name is no host name.
    #[error("the resolver's name is wrong: {0}")]
    Name(#[source] HostError),
    /// The name is an address; certificates are checked by name.
    #[error("the resolver's name must be a name, not an address")]
    NameIsAddress,
    /// The path does not begin with `/`, is too long, or has a character outside printable ASCII.
    #[error(
        "the resolver's path must begin with '/' and hold at most {MAX_PATH} printable characters"
    )]
    Path,
}

impl Upstream {
    /// A resolver at `addresses`, whose certificate carries `name`, asked at `path`.
    ///
    /// # Errors
    /// [`UpstreamError`] says which part is wrong.
    pub fn new(addresses: Vec<IpAddr>, name: &str, path: &str) -> Result<Self, UpstreamError> {
        if addresses.is_empty() || addresses.len() > MAX_ADDRESSES {
            return Err(UpstreamError::Addresses);
        }
        if let Some(wrong) = addresses.iter().find(|ip| !may_serve(**ip)) {
            return Err(UpstreamError::Address(*wrong));
        }
        let name = match name.parse::<Host>().map_err(UpstreamError::Name)? {
            Host::Domain(name) => name,
            Host::Ip(_) => return Err(UpstreamError::NameIsAddress),
        };
        Ok(Self {
            addresses,
            name,
            path: UpstreamPath::new(path)?,
        })
    }

    /// Where it is reached, on port 443; at least one.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The name its certificate must carry.
    #[must_use]
    pub fn name(&self) -> &Domain {
        &self.name
    }

    /// The path of its endpoint, as in `/dns-query`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path.0
    }
}

fn may_serve(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

impl UpstreamPath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`UpstreamError::Path`].
    pub fn new(path: &str) -> Result<Self, UpstreamError> {
        let printable = path.bytes().all(|b| b.is_ascii_graphic());
        if !path.starts_with('/') || path.len() > MAX_PATH || !printable {
            return Err(UpstreamError::Path);
        }
        Ok(Self(path.to_owned()))
    }
}

impl TryFrom<UpstreamText> for Upstream {
    type Error = UpstreamError;

    fn try_from(text: UpstreamText) -> Result<Self, UpstreamError> {
        Self::new(text.addresses, &text.name, &text.path)
    }
}

impl From<Upstream> for UpstreamText {
    fn from(upstream: Upstream) -> Self {
        Self {
            name: upstream.name.to_string(),
            path: upstream.path.0,
            addresses: upstream.addresses,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_resolver_reads_back_as_written() {
        let upstream = Upstream::new(
            vec![ip("1.1.1.1"), ip("2606:4700:4700::1111")],
            "cloudflare-dns.com",
            "/dns-query",
        )
        .unwrap();
        let json = serde_json::to_string(&upstream).unwrap();
        assert_eq!(serde_json::from_str::<Upstream>(&json).unwrap(), upstream);
    }

    #[test]
    fn what_is_no_resolver_says_why() {
        let one = || vec![ip("9.9.9.9")];
        let cases = [
            (vec![], "dns.test", "/q", UpstreamError::Addresses),
            (
                vec![ip("9.9.9.9"); 9],
                "dns.test",
                "/q",
                UpstreamError::Addresses,
            ),
            (
                vec![ip("0.0.0.0")],
                "dns.test",
                "/q",
                UpstreamError::Address(ip("0.0.0.0")),
            ),
            (
                vec![ip("ff02::1")],
                "dns.test",
                "/q",
                UpstreamError::Address(ip("ff02::1")),
            ),
            (one(), "1.1.1.1", "/q", UpstreamError::NameIsAddress),
            (one(), "", "/q", UpstreamError::Name(HostError::Empty)),
            (one(), "dns.test", "q", UpstreamError::Path),
            (one(), "dns.test", "/q r", UpstreamError::Path),
            (one(), "dns.test", "/q\r\nx: y", UpstreamError::Path),
        ];
        for (addresses, name, path, why) in cases {
            assert_eq!(
                Upstream::new(addresses, name, path),
                Err(why),
                "{name} {path}"
            );
        }
    }
}
