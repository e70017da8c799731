//! The resolvers of the local network.

use std::net::IpAddr;

use super::conf::ResolvConf;
use super::surroundings::Surroundings;
use crate::firewall::LAN_PREFIXES;
use crate::names::LINK;
use crate::observed::Observed;
use crate::rtnl::Prefix;

/// The C library asks no more either (resolv.conf(5)).
const MOST: usize = 3;

/// The servers with private addresses that the host was told of, in its order. Where
/// programs ask this machine itself, those it asks in its turn count.
pub(super) fn private_servers(found: &Surroundings) -> Vec<IpAddr> {
    let conf = found.conf().unwrap_or_default();
    let mut servers = private(conf);
    for text in &found.uplinks {
        if !servers.is_empty() {
            break;
        }
        servers = private(ResolvConf::parse(text));
    }
    servers
}

fn private(conf: ResolvConf) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for server in conf.servers {
        if is_private(server) && !servers.contains(&server) && servers.len() < MOST {
            servers.push(server);
        }
    }
    servers
}

fn is_private(ip: IpAddr) -> bool {
    let host = Prefix::host(ip);
    LAN_PREFIXES.iter().any(|lan| lan.covers(&host))
}

impl Observed {
    /// Whether an address is a private one on a network that this host has a link to:
    /// no router takes part in reaching it, and it is nobody's on the internet.
    #[must_use]
    pub fn is_neighbour(&self, ip: IpAddr) -> bool {
        let ours = self.links.iter().filter(|link| link.name == LINK);
        let ours: Vec<u32> = ours.map(|link| link.index).collect();
        let host = Prefix::host(ip);
        let covers = |address: &crate::rtnl::Address| {
            !ours.contains(&address.link) && address.prefix.ip != ip && address.prefix.covers(&host)
        };
        is_private(ip) && self.addresses.iter().any(covers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(conf: &str, uplinks: &[&str]) -> Vec<String> {
        let found = Surroundings {
            text: Some(conf.to_owned()),
            uplinks: uplinks.iter().map(|text| (*text).to_owned()).collect(),
            ..Surroundings::default()
        };
        private_servers(&found)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn only_servers_of_private_networks_count() {
        let plain = "nameserver 8.8.8.8\nnameserver 192.168.77.1\nnameserver fd00::1\n\
            nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 192.168.77.1\n";
        assert_eq!(servers(plain, &[]), ["192.168.77.1", "fd00::1"]);
        assert!(servers("nameserver 9.9.9.9\n", &[]).is_empty());
        let many = "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n\
            nameserver 10.0.0.4\n";
        assert_eq!(servers(many, &[]).len(), MOST);
    }

    #[test]
    fn where_a_stub_is_asked_its_servers_count_but_not_ours() {
        let stub = "nameserver 127.0.0.53\n";
        let uplink = "nameserver 198.18.76.71\nnameserver 192.168.77.1\n";
        assert_eq!(servers(stub, &[uplink]), ["192.168.77.1"]);
        assert_eq!(servers("nameserver 10.1.1.1\n", &[uplink]), ["10.1.1.1"]);
    }
}
