//! What `/etc/resolv.conf` says (resolv.conf(5)).

use std::net::IpAddr;

/// The settings in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolvConf {
    /// The servers it names, in its order; those that are no addresses are left out.
    pub servers: Vec<IpAddr>,
    /// The domains that are tried behind short names.
    pub search: Vec<String>,
}

impl ResolvConf {
    /// Reads the text of the file; what is not understood is passed over, as by libc.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut conf = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(server)),
                // The last one counts.
                Some("search" | "domain") => conf.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        conf
    }
}

/// An address; the interface behind a link-local one does not matter.
fn server(word: &str) -> Option<IpAddr> {
    word.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_domains_are_read_as_glibc_does() {
        let text = "# one\nnameserver 192.168.77.1\nnameserver fe80::1%eth0\n\
            nameserver nonsense\nnameserver\noptions edns0\n\
            domain first.example\nsearch lan home.arpa\n";
        let conf = ResolvConf::parse(text);
        let servers: Vec<String> = conf.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.168.77.1", "fe80::1"]);
        assert_eq!(conf.search, ["lan", "home.arpa"]);
    }
}
