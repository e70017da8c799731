//! What the machine's owner decided once: `/etc/vpnm/settings.toml`.
//!
//! ```toml
//! # Whether private networks on the link are reached directly.
//! lan = false
//!
//! # Domains of the local network beside `lan`, `home.arpa` and the like: where `lan`
//! # is true, names under these are asked of its own resolver, in the clear.
//! lan_domains = ["corp.example"]
//!
//! # Where packets of containers, virtual machines and hosts behind this one go:
//! # into the "tunnel", or nowhere ("block").
//! forwarding = "tunnel"
//!
//! # Interfaces behind which there are other hosts to lead into the tunnel; containers
//! # and virtual machines need not be named. Never one that this host goes out by.
//! serve = ["eth1"]
//!
//! # Interfaces that this host goes out by and whose neighbours are led into the tunnel
//! # all the same: a gateway with one network card. Anybody on that network may use it.
//! serve_uplink = ["eth0"]
//!
//! # Whether every way past the block is tried after each change.
//! leak_check = true
//!
//! # Resolvers that are asked over HTTPS, in order of preference.
//! [[dns]]
//! addresses = ["9.9.9.9", "2620:fe::fe"]
//! name = "dns.quad9.net"
//! path = "/dns-query"
//! ```
//!
//! Every key may be absent; an unknown one is an error. A file that cannot be
//! read never opens the machine: it stays as secured as it was and connecting is
//! refused until the file is right.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::Deserialize;
use vpnm_api::{ServerName, Upstream};

/// Where the settings are read from.
pub const FILE: &str = "/etc/vpnm/settings.toml";

const MAX_BYTES: u64 = 256 * 1024;
const MAX_RESOLVERS: usize = 8;
const MAX_DOMAINS: usize = 32;
const MAX_SERVED: usize = 64;
/// Bytes of an interface's name, at most.
const LONGEST_NAME: usize = 15;

/// What the machine's owner decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether private networks on the link are reached directly.
    pub lan: bool,
    /// Domains that belong to the local network, beside the names reserved for it.
    pub lan_domains: Vec<ServerName>,
    /// Where packets go that this host forwards for others.
    pub forwarding: ForOthers,
    /// Interfaces whose hosts are led into the tunnel, besides those of containers and
    /// virtual machines.
    pub serve: Vec<String>,
    /// Interfaces that this host goes out by, whose neighbours are led into the tunnel.
    pub serve_uplink: Vec<String>,
    /// Whether every way past the block is tried after each change.
    pub leak_check: bool,
    /// Resolvers, in order of preference; at least one.
    pub dns: Vec<Upstream>,
}

/// Where packets go that this host forwards for others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForOthers {
    /// Into the tunnel while there is one.
    #[default]
    Tunnel,
    /// Nowhere.
    Block,
}

/// Why the settings are of no use.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no file, or others than root can write it.
    #[error("{path} is not a file that only root can write")]
    Unsafe {
        /// The file.
        path: PathBuf,
    },
    /// The file is longer than any settings.
    #[error("{path} is longer than {MAX_BYTES} bytes")]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// The text is wrong; says where.
    #[error("{0}")]
    Text(String),
    /// There is no resolver, or there are too many.
    #[error("between 1 and {MAX_RESOLVERS} resolvers are needed")]
    Resolvers,
    /// Everything below a top-level domain would be asked for in the clear.
    #[error("lan_domains: {0:?} has no dot: whole top-level domains cannot be the local network's")]
    TopLevel(String),
    /// No interface can have this name.
    #[error("{0}: {1:?} is no name of an interface")]
    Interface(&'static str, String),
    /// There are too many interfaces.
    #[error("{0}: no more than {MAX_SERVED} are possible")]
    Interfaces(&'static str),
    /// There are too many domains.
    #[error("lan_domains: no more than {MAX_DOMAINS} are possible")]
    Domains,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    lan: bool,
    #[serde(default)]
    lan_domains: Vec<ServerName>,
    #[serde(default)]
    forwarding: ForOthers,
    #[serde(default)]
    serve: Vec<String>,
    #[serde(default)]
    serve_uplink: Vec<String>,
    leak_check: Option<bool>,
    dns: Option<Vec<Upstream>>,
}

impl Default for Settings {
    /// What holds without a file: nothing but the tunnel, Cloudflare and Quad9.
    fn default() -> Self {
        let known = [
            (
                [
                    "1.1.1.1",
                    "1.0.0.1",
                    "2606:4700:4700::1111",
                    "2606:4700:4700::1001",
                ],
                "cloudflare-dns.com",
            ),
            (
                ["9.9.9.9", "149.112.112.112", "2620:fe::fe", "2620:fe::9"],
                "dns.quad9.net",
            ),
        ];
        let dns = known.into_iter().filter_map(|(addresses, name)| {
            let addresses = addresses.iter().filter_map(|ip| ip.parse().ok()).collect();
            Upstream::new(addresses, name, "/dns-query").ok()
        });
        Self {
            lan: false,
            lan_domains: Vec::new(),
            forwarding: ForOthers::Tunnel,
            serve: Vec::new(),
            serve_uplink: Vec::new(),
            leak_check: true,
            dns: dns.collect(),
        }
    }
}

impl Settings {
    /// Reads a file; the defaults hold if there is none.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        let fail = |source| SettingsError::Io {
            path: path.to_owned(),
            source,
        };
        // What is looked at is what is read, and a pipe is not waited for.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened.map_err(fail)?,
        };
        let found = file.metadata().map_err(fail)?;
        let path = path.to_owned();
        let mine = found.uid() == rustix::process::geteuid().as_raw();
        if !found.is_file() || !mine || found.mode() & 0o022 != 0 {
            return Err(SettingsError::Unsafe { path });
        }
        if found.len() > MAX_BYTES {
            return Err(SettingsError::Long { path });
        }
        let mut text = String::new();
        let read = file.take(MAX_BYTES).read_to_string(&mut text);
        read.map_err(|source| SettingsError::Io { path, source })?;
        Self::parse(&text)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// [`SettingsError::Text`], [`SettingsError::Resolvers`],
    /// [`SettingsError::TopLevel`], [`SettingsError::Domains`],
    /// [`SettingsError::Interface`], [`SettingsError::Interfaces`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let text: Text = toml::from_str(text).map_err(|error| wrong_text(text, &error))?;
        let dns = text.dns.unwrap_or_else(|| Self::default().dns);
        if dns.is_empty() || dns.len() > MAX_RESOLVERS {
            return Err(SettingsError::Resolvers);
        }
        check_domains(&text.lan_domains)?;
        check_served("serve", &text.serve)?;
        check_served("serve_uplink", &text.serve_uplink)?;
        Ok(Self {
            lan: text.lan,
            lan_domains: text.lan_domains,
            forwarding: text.forwarding,
            serve: text.serve,
            serve_uplink: text.serve_uplink,
            leak_check: text.leak_check.unwrap_or(true),
            dns,
        })
    }
}

/// What is wrong with a text and in which line, in one line.
fn wrong_text(text: &str, error: &toml::de::Error) -> SettingsError {
    let message = error.message().trim_end().replace('\n', ", ");
    let before = error.span().and_then(|span| text.get(..span.start));
    SettingsError::Text(match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count() + 1),
        None => message,
    })
}

fn check_domains(domains: &[ServerName]) -> Result<(), SettingsError> {
    let text = |name: &ServerName| name.domain().as_str().to_owned();
    if domains.len() > MAX_DOMAINS {
        return Err(SettingsError::Domains);
    }
    match domains.iter().map(text).find(|name| !name.contains('.')) {
        Some(name) => Err(SettingsError::TopLevel(name)),
        None => Ok(()),
    }
}

fn check_served(key: &'static str, names: &[String]) -> Result<(), SettingsError> {
    if names.len() > MAX_SERVED {
        return Err(SettingsError::Interfaces(key));
    }
    let is_name = |name: &&String| {
        let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
        (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(allowed)
    };
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(SettingsError::Interface(key, name.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_the_defaults_hold() {
        let settings = Settings::load(Path::new("/nonexistent/settings.toml")).unwrap();
        assert_eq!(settings, Settings::default());
        let names: Vec<_> = settings.dns.iter().map(|u| u.name().as_str()).collect();
        assert_eq!(names, ["cloudflare-dns.com", "dns.quad9.net"]);
        assert!(settings.dns.iter().all(|u| u.addresses().len() == 4));
    }

    #[test]
    fn a_pipe_is_no_file_and_not_waited_for() {
        let path = std::env::temp_dir().join(format!("vpnm-settings-{}", std::process::id()));
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let refused = Settings::load(&path);
        std::fs::remove_file(&path).unwrap();
        assert!(
            matches!(refused, Err(SettingsError::Unsafe { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn the_example_is_read() {
        let text = r#"
            lan = true
            lan_domains = ["corp.example", "corp.local"]
            forwarding = "block"
            serve = ["eth1"]
            serve_uplink = ["eth0"]
            leak_check = false
            [[dns]]
            addresses = ["9.9.9.9", "2620:fe::fe"]
            name = "dns.quad9.net"
            path = "/dns-query"
        "#;
        let settings = Settings::parse(text).unwrap();
        assert!(settings.lan && settings.forwarding == ForOthers::Block);
        assert!(!settings.leak_check);
        assert_eq!(settings.serve, ["eth1"]);
        assert_eq!(settings.serve_uplink, ["eth0"]);
        let domains: Vec<_> = settings
            .lan_domains
            .iter()
            .map(|d| d.domain().as_str())
            .collect();
        assert_eq!(domains, ["corp.example", "corp.local"]);
        assert_eq!(settings.dns.len(), 1);
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_is_refused_and_named() {
        let wrong = [
            ("lna = true", "line 1: unknown field `lna`"),
            ("lan = true\n\nserve = [", "line 3: "),
            ("lan = 1", "boolean"),
            ("lan_domains = [\"com\"]", "\"com\" has no dot"),
            ("lan_domains = [\"10.0.0.1\"]", "address"),
            ("forwarding = \"direct\"", "direct"),
            ("serve = \"eth1\"", "sequence"),
            ("serve = [\"an interface\"]", "an interface"),
            ("serve = [\"sixteen-bytes-it\"]", "sixteen-bytes-it"),
            ("serve_uplink = [\"eth 0\"]", "serve_uplink: \"eth 0\""),
            ("dns = []", "resolvers"),
            (
                "[[dns]]\naddresses = [\"x\"]\nname = \"a.b\"\npath = \"/\"",
                "address",
            ),
            (
                "[[dns]]\naddresses = [\"1.1.1.1\"]\nname = \"a b\"\npath = \"/\"",
                "name",
            ),
            (
                "[[dns]]\naddresses = [\"1.1.1.1\"]\nname = \"a.b\"\npath = \"q\"",
                "path",
            ),
            ("[[dns]]\nname = \"a.b\"\npath = \"/\"", "addresses"),
        ];
        for (text, names) in wrong {
            let error = Settings::parse(text).unwrap_err().to_string();
            assert!(error.contains(names), "{text}: {error}");
        }
    }
}
