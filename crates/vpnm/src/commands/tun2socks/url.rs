//! A proxy's address as people write it.

use std::str::FromStr;

use thiserror::Error;
use vpnm_engine::tun2socks::{Credentials, CredentialsError};

/// `socks5://[USER:PASSWORD@]HOST[:PORT]`
#[derive(Debug)]
pub(super) struct ProxyUrl {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
}

/// What is wrong with the URL; never repeats it, as it may hold a password.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum UrlError {
    #[error("it does not begin with socks5://")]
    Scheme,
    #[error("it names no host")]
    Host,
    #[error("its port is no number from 1 to 65535")]
    Port,
    #[error("a percent sign is not followed by two hexadecimal digits of UTF-8 text")]
    Percent,
    #[error("the user name comes without a password")]
    Password,
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// The port of a proxy that names none (RFC 1928 section 3).
const PORT: u16 = 1080;

impl FromStr for ProxyUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = ["socks5://", "socks5h://", "socks://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(UrlError::Scheme)?;
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        let (host, port) = split_port(address)?;
        Ok(Self {
            host: host.to_owned(),
            port,
            credentials: user.map(credentials).transpose()?,
        })
    }
}

fn split_port(address: &str) -> Result<(&str, u16), UrlError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or(UrlError::Host)?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or(UrlError::Port)?),
            };
            (host, port)
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    let port = match port {
        None => PORT,
        Some(digits) => digits
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(UrlError::Port)?,
    };
    Ok((host, port))
}

fn credentials(text: &str) -> Result<Credentials, UrlError> {
    let (user, password) = text.split_once(':').ok_or(UrlError::Password)?;
    Ok(Credentials::new(&decode(user)?, &decode(password)?)?)
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn decode(text: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or(UrlError::Percent)?;
        let digits = std::str::from_utf8(digits).map_err(|_| UrlError::Percent)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| UrlError::Percent)?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ProxyUrl, UrlError> {
        text.parse()
    }

    #[test]
    fn every_part_is_found() {
        let url = parse("socks5://al%40ice:p%3Aw@proxy.example:9050/").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("proxy.example", 9050));
        assert_eq!(
            url.credentials,
            Some(Credentials::new("al@ice", "p:w").unwrap())
        );
        let url = parse("socks5://[2001:db8::1]:1").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("2001:db8::1", 1));
        let url = parse("socks5h://127.0.0.1").unwrap();
        assert_eq!((url.port, url.credentials), (1080, None));
    }

    #[test]
    fn every_mistake_is_named() {
        for (text, error) in [
            ("http://a:1", UrlError::Scheme),
            ("socks5://", UrlError::Host),
            ("socks5://[::1", UrlError::Host),
            ("socks5://a:0", UrlError::Port),
            ("socks5://a:99999", UrlError::Port),
            ("socks5://[::1]1", UrlError::Port),
            ("socks5://user@a", UrlError::Password),
            ("socks5://u%4:p@a", UrlError::Percent),
            ("socks5://u%:p@a", UrlError::Percent),
        ] {
            assert_eq!(parse(text).err(), Some(error), "{text}");
        }
        assert!(matches!(
            parse("socks5://:p@a"),
            Err(UrlError::Credentials(_))
        ));
    }
}
