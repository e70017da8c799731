//! The tables of each desired state.

use super::chain::{FILTER, filter};
use super::egress::netdev;
use super::endpoints::{peer_sets, port_set, server_sets};
use super::incoming::{arp, input, prerouting};
use super::outgoing::{output, postrouting};
use super::redirect::redirect;
use super::scope::{DNS, NAME_BROADCASTS, NAME_QUERIES};
use super::setting::Setting;
use crate::desired::{Desired, Guard, Tunnel};
use crate::nft::{Hook, Table, TableFamily};

/// The tables for a desired state; none when the host is open.
pub(crate) fn tables(desired: &Desired, setting: &Setting) -> Vec<Table> {
    let Some(guard) = desired.guard() else {
        return Vec::new();
    };
    let tunnel = desired.tunnel();
    let mut tables = vec![inet(guard, tunnel, setting)];
    tables.extend(tunnel.map(arp));
    tables.extend(netdev(guard, setting));
    tables
}

fn inet(guard: &Guard, tunnel: Option<&Tunnel>, setting: &Setting) -> Table {
    let mut sets = server_sets(&guard.endpoints).to_vec();
    sets.extend(peer_sets(&guard.endpoints));
    sets.push(port_set("queries", &NAME_QUERIES));
    sets.push(port_set("broadcasts", &NAME_BROADCASTS));
    let mut chains = vec![
        prerouting(),
        input(guard, tunnel),
        filter("forward", Hook::Forward, FILTER, Vec::new()),
        output(guard, tunnel),
        postrouting(guard, tunnel),
    ];
    if let Some(tunnel) = tunnel {
        sets.push(port_set("dns", &DNS));
        chains.push(redirect(tunnel, setting));
    }
    Table {
        family: TableFamily::Inet,
        sets,
        chains,
    }
}

#[cfg(test)]
mod tests {
    use super::super::capabilities::Capabilities;
    use super::super::text::render;
    use super::*;
    use crate::desired::{Addresses, Endpoint, Lan, Transport};

    fn setting() -> Setting {
        Setting {
            capabilities: Capabilities {
                ownership: true,
                egress: true,
            },
            interfaces: vec!["eth0".to_owned(), "wlan0".to_owned()],
            local_resolver: false,
        }
    }

    fn guard(lan: Lan) -> Guard {
        let endpoint = |ip: &str, transport| Endpoint {
            uid: 990,
            ip: ip.parse().unwrap(),
            transport,
            port: 443,
        };
        Guard {
            engine: 990,
            endpoints: vec![
                endpoint("192.0.2.1", Transport::Tcp),
                endpoint("::ffff:192.0.2.1", Transport::Tcp),
                endpoint("2001:db8::1", Transport::Udp),
            ],
            lan,
        }
    }

    fn tunnel() -> Tunnel {
        Tunnel {
            addresses: Addresses {
                v4: "198.18.76.70".parse().unwrap(),
                v6: "fd76:706e:6d30::1".parse().unwrap(),
            },
            dns_port: 5335,
        }
    }

    #[test]
    fn the_blocked_host() {
        let tables = tables(&Desired::Blocked(guard(Lan::Blocked)), &setting());
        assert_eq!(render(&tables), include_str!("golden/blocked.txt"));
    }

    #[test]
    fn the_tunnel() {
        let desired = Desired::Tunnel(guard(Lan::Blocked), tunnel());
        let text = render(&tables(&desired, &setting()));
        assert_eq!(text, include_str!("golden/tunnel.txt"));
    }

    #[test]
    fn the_tunnel_beside_an_open_local_network() {
        let desired = Desired::Tunnel(guard(Lan::Allowed), tunnel());
        let text = render(&tables(&desired, &setting()));
        assert_eq!(text, include_str!("golden/tunnel-lan.txt"));
    }

    #[test]
    fn an_open_host_has_no_tables() {
        assert_eq!(tables(&Desired::Open, &setting()), []);
    }

    #[test]
    fn a_kernel_without_the_egress_hook_gets_the_other_tables() {
        let mut setting = setting();
        setting.capabilities.egress = false;
        let tables = tables(&Desired::Blocked(guard(Lan::Blocked)), &setting);
        let families: Vec<_> = tables.iter().map(|table| table.family).collect();
        assert_eq!(families, [TableFamily::Inet]);
    }

    #[test]
    fn many_interfaces_are_shared_out_among_chains() {
        let mut setting = setting();
        setting.interfaces = (0..300).map(|number| format!("veth{number:03}")).collect();
        let tables = tables(&Desired::Blocked(guard(Lan::Blocked)), &setting);
        let chains = &tables.last().unwrap().chains;
        let names: Vec<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
        assert_eq!(names, ["egress", "egress1", "egress2"]);
        let devices = chains.iter().flat_map(|chain| &chain.devices);
        assert!(devices.eq(&setting.interfaces));
    }

    #[test]
    fn queries_to_a_resolver_of_this_host_are_left_to_it() {
        let desired = Desired::Tunnel(guard(Lan::Blocked), tunnel());
        let mut setting = setting();
        setting.local_resolver = true;
        let text = render(&tables(&desired, &setting));
        assert!(!text.contains("no resolver listens here"), "{text}");
    }

    /// Rules that were measured to leak, whatever else they are combined with.
    #[test]
    fn what_leaks_is_never_written() {
        for lan in [Lan::Blocked, Lan::Allowed] {
            for desired in [
                Desired::Blocked(guard(lan)),
                Desired::Tunnel(guard(lan), tunnel()),
            ] {
                let text = render(&tables(&desired, &setting()));
                assert!(!text.contains("skuid !="), "{text}");
                let outgoing = text.split("chain output").nth(1).unwrap();
                assert!(!outgoing.contains("ct state"), "{outgoing}");
                for chain in ["input", "forward", "output", "postrouting", "egress"] {
                    let head = format!("chain {chain} {{");
                    let mut heads = text.lines().filter(|line| line.contains(&head));
                    let drops =
                        |line: &str| line.ends_with("policy drop") || line.contains("arp daddr");
                    assert!(heads.next().is_some_and(drops), "{chain}");
                }
            }
        }
    }
}
