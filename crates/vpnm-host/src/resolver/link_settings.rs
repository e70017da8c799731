//! What systemd-resolved is to know about the tunnel link.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The address that is named as the resolver. Queries are answered whatever address
/// they are sent to; this one (RFC 2544) is nobody's, so that a query to it reaches
/// nobody when the tunnel is gone.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 76, 71);

/// What systemd-resolved knows about a link (org.freedesktop.resolve1(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkResolver {
    /// The servers that are asked through the link.
    pub servers: Vec<IpAddr>,
    /// Domains, and whether each is for routing only; `.` stands for all names.
    pub domains: Vec<(String, bool)>,
    /// Whether names that belong to no link's domain are asked here.
    pub default_route: bool,
    /// What else may be spoken on the link: DNS over TLS, DNSSEC, LLMNR, multicast DNS.
    pub modes: [String; MODES.len()],
}

/// What may be switched for each link: the property and what its setter's name ends in.
pub(super) const MODES: [&str; 4] = ["DNSOverTLS", "DNSSEC", "LLMNR", "MulticastDNS"];
const OFF: &str = "no";

/// One setting of the link that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkChange {
    /// The servers.
    Servers(Vec<IpAddr>),
    /// The domains.
    Domains(Vec<(String, bool)>),
    /// Whether it takes the names nobody else does.
    DefaultRoute(bool),
    /// A mode of this name gets this value.
    Mode(&'static str, String),
}

impl LinkResolver {
    /// What a tunnel needs: every name is asked through it, by plain DNS, which ends in
    /// our own resolver. Encryption and validation happen there; link-local protocols
    /// have no neighbours on a tunnel.
    #[must_use]
    pub fn of_tunnel() -> Self {
        Self {
            servers: vec![SERVER.into()],
            domains: vec![(".".to_owned(), true)],
            default_route: true,
            modes: [(); MODES.len()].map(|()| OFF.to_owned()),
        }
    }

    /// The changes that make this of what was observed.
    #[must_use]
    pub fn changes_from(&self, observed: &Self) -> Vec<LinkChange> {
        let mut changes = Vec::new();
        // Modes first: no query is sent by them while there are no servers.
        for ((name, to), from) in MODES.iter().zip(&self.modes).zip(&observed.modes) {
            if to != from {
                changes.push(LinkChange::Mode(name, to.clone()));
            }
        }
        if self.servers != observed.servers {
            changes.push(LinkChange::Servers(self.servers.clone()));
        }
        if self.domains != observed.domains {
            changes.push(LinkChange::Domains(self.domains.clone()));
        }
        if self.default_route != observed.default_route {
            changes.push(LinkChange::DefaultRoute(self.default_route));
        }
        changes
    }
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Servers(servers) => {
                f.write_str("~ link resolver servers")?;
                servers.iter().try_for_each(|ip| write!(f, " {ip}"))
            }
            Self::Domains(domains) => {
                f.write_str("~ link resolver domains")?;
                domains.iter().try_for_each(|(name, routing)| {
                    let sign = if *routing { "~" } else { "" };
                    write!(f, " {sign}{name}")
                })
            }
            Self::DefaultRoute(on) => write!(f, "~ link resolver default-route {on}"),
            Self::Mode(name, value) => write!(f, "~ link resolver {name} {value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired() -> LinkResolver {
        LinkResolver::of_tunnel()
    }

    fn text(changes: &[LinkChange]) -> String {
        changes.iter().map(|change| format!("{change}\n")).collect()
    }

    #[test]
    fn a_fresh_link_gets_everything() {
        let fresh = LinkResolver {
            modes: ["opportunistic", "allow-downgrade", "yes", "yes"].map(str::to_owned),
            ..LinkResolver::default()
        };
        let changes = desired().changes_from(&fresh);
        assert_eq!(
            text(&changes),
            "~ link resolver DNSOverTLS no\n\
             ~ link resolver DNSSEC no\n\
             ~ link resolver LLMNR no\n\
             ~ link resolver MulticastDNS no\n\
             ~ link resolver servers 198.18.76.71\n\
             ~ link resolver domains ~.\n\
             ~ link resolver default-route true\n"
        );
    }

    #[test]
    fn what_others_changed_alone_is_put_back() {
        let mut other = desired();
        assert_eq!(desired().changes_from(&other), []);
        other.domains.push(("lan".to_owned(), false));
        let changes = desired().changes_from(&other);
        assert_eq!(text(&changes), "~ link resolver domains ~.\n");
    }
}
