//! Where a flow wants to go: a host, by name or by address, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Longest domain name in presentation form, without the trailing dot (RFC 1035 section 2.3.4).
const MAX_DOMAIN: usize = 253;
/// Longest label of a domain name (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// A destination host: an IP address, or a domain name that the far side resolves.
///
/// A domain is lower-case ASCII, 1 to 253 bytes, without a trailing dot; labels
/// hold letters, digits, `-` and `_`. Internationalised names are accepted in
/// their `xn--` form only.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// An IPv4 or IPv6 address.
    Ip(IpAddr),
    /// A validated domain name.
    Domain(Domain),
}

/// A validated domain name; see [`Host::domain`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The text is empty.
    #[error("the host is empty")]
    Empty,
    /// The name is longer than 253 bytes.
    #[error("the name is longer than {MAX_DOMAIN} bytes")]
    TooLong,
    /// A label is empty or longer than 63 bytes, or begins or ends with a hyphen.
    #[error(
        "a label of the name is empty, longer than {MAX_LABEL} bytes, or begins or ends with '-'"
    )]
    Label,
    /// A byte that no domain name has.
    #[error("the name has a character that is not a letter, digit, '-', '_' or '.'")]
    Character,
}

/// Why a text is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// There is no port after the last colon.
    #[error("the port is missing")]
    NoPort,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// The host part is wrong.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// A host and a port: what a proxy is asked to connect to.
///
/// ```
/// use vpnm_wire::Target;
/// let target: Target = "Example.COM:443".parse()?;
/// assert_eq!(target.to_string(), "example.com:443");
/// # Ok::<(), vpnm_wire::TargetError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The host to reach.
    pub host: Host,
    /// The port on that host; 0 where a protocol has none.
    pub port: u16,
}

impl Host {
    /// Validates a domain name; a single trailing dot is dropped and letters are lower-cased.
    ///
    /// # Errors
    /// [`HostError`] when the text is no domain name.
    pub fn domain(name: &str) -> Result<Self, HostError> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if name.len() > MAX_DOMAIN {
            return Err(HostError::TooLong);
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !name.bytes().all(allowed) {
            return Err(HostError::Character);
        }
        let well_formed = |label: &str| {
            !label.is_empty()
                && label.len() <= MAX_LABEL
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !name.split('.').all(well_formed) {
            return Err(HostError::Label);
        }
        Ok(Self::Domain(Domain(name.to_ascii_lowercase().into())))
    }

    /// The address, unless the host is a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Domain(_) => None,
        }
    }
}

impl Domain {
    /// The name, lower-case and without a trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = HostError;

    /// Reads an IPv4 address, an IPv6 address with or without brackets, or a domain name.
    fn from_str(text: &str) -> Result<Self, HostError> {
        let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(inside) = bracketed {
            let ip: Ipv6Addr = inside.parse().map_err(|_| HostError::Character)?;
            return Ok(Self::Ip(ip.into()));
        }
        match text.parse::<IpAddr>() {
            Ok(ip) => Ok(Self::Ip(ip)),
            Err(_) => Self::domain(text),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `host:port`; an IPv6 address stands in brackets.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (host, port) = text.rsplit_once(':').ok_or(TargetError::NoPort)?;
        let port: u16 = port.parse().map_err(|_| TargetError::Port)?;
        if port == 0 {
            return Err(TargetError::Port);
        }
        Ok(Self {
            host: host.parse()?,
            port,
        })
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: Host::Ip(address.ip()),
            port: address.port(),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Domain(name) => name.fmt(f),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host @ (Host::Ip(IpAddr::V4(_)) | Host::Domain(_)) => write!(f, "{host}:{}", self.port),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_back_as_written() {
        for text in [
            "example.com:443",
            "192.0.2.1:53",
            "[2001:db8::1]:8443",
            "_dns.x-y.test:1",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_target_says_why() {
        let cases = [
            ("example.com", TargetError::NoPort),
            ("example.com:0", TargetError::Port),
            ("example.com:65536", TargetError::Port),
            (":1", TargetError::Host(HostError::Empty)),
            ("a..b:1", TargetError::Host(HostError::Label)),
            ("-a:1", TargetError::Host(HostError::Label)),
            ("a b:1", TargetError::Host(HostError::Character)),
            ("x;reboot:1", TargetError::Host(HostError::Character)),
        ];
        for (text, why) in cases {
            assert_eq!(text.parse::<Target>(), Err(why), "{text}");
        }
        let long = format!("{}:1", "a.".repeat(127) + "b");
        assert_eq!(
            long.parse::<Target>(),
            Err(TargetError::Host(HostError::TooLong))
        );
    }
}
