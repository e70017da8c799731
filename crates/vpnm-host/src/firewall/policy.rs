//! The tables of each desired state.

use super::egress::netdev;
use super::endpoints::{peer_sets, port_set, server_sets};
use super::forwarding::{forward, inside_set, served_set, uplinks_set};
use super::incoming::{arp, input, prerouting};
use super::neighbours::Neighbours;
use super::outgoing::{output, postrouting};
use super::redirect::redirect;
use super::scope::{DNS, NAME_BROADCASTS, NAME_QUERIES};
use super::setting::Setting;
use crate::desired::{Desired, Guard, Tunnel};
use crate::nft::{Table, TableFamily};

/// The tables for a desired state; none when the host is open.
pub(crate) fn tables(desired: &Desired, setting: &Setting) -> Vec<Table> {
    let Some(guard) = desired.guard() else {
        return Vec::new();
    };
    let tunnel = desired.tunnel();
    let for_others = desired.tunnels_for_others();
    let mark = for_others.then_some(setting.answer_mark);
    let neighbours = Neighbours::of(guard, setting);
    let mut tables = vec![inet(guard, tunnel, setting, &neighbours, mark)];
    tables.extend(tunnel.map(arp));
    tables.extend(netdev(guard, setting, &neighbours, mark));
    tables
}

fn inet(
    guard: &Guard,
    tunnel: Option<&Tunnel>,
    setting: &Setting,
    neighbours: &Neighbours<'_>,
    mark: Option<u32>,
) -> Table {
    let mut sets = server_sets(&guard.endpoints).to_vec();
    sets.extend(peer_sets(&guard.endpoints));
    sets.push(port_set("queries", &NAME_QUERIES));
    sets.push(port_set("broadcasts", &NAME_BROADCASTS));
    sets.push(inside_set(&setting.interfaces));
    sets.push(served_set(&setting.interfaces, &guard.serve));
    sets.push(uplinks_set(&setting.interfaces));
    let mut chains = vec![
        prerouting(),
        input(guard, tunnel),
        forward(guard, neighbours, mark),
        output(guard, tunnel),
        postrouting(guard, tunnel, neighbours, mark),
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
    use crate::desired::{Addresses, Endpoint, Forwarding, Lan, Transport};
    use crate::interfaces::Interfaces;
    use crate::rtnl::Prefix;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn setting() -> Setting {
        Setting {
            capabilities: Capabilities {
                ownership: true,
                holding: true,
                egress: true,
                devices: true,
                absent: true,
            },
            interfaces: Interfaces {
                outside: names(&["eth0", "wlan0"]),
                inside: names(&["docker0"]),
                served: names(&["docker0"]),
                servable: names(&["docker0", "wlan0"]),
                uplinks: names(&["eth0"]),
            },
            former: Vec::new(),
            neighbourhoods: [
                ("eth0", "192.0.2.0", 24),
                ("eth0", "2001:db8:77::", 64),
                ("wlan0", "192.168.7.0", 24),
            ]
            .map(|(name, ip, length)| (name.to_owned(), Prefix::new(ip.parse().unwrap(), length)))
            .to_vec(),
            answer_mark: 0x0076_0001,
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
            forwarding: Forwarding::Tunnel,
            serve: names(&["wlan0", "eth0"]),
            serve_uplink: Vec::new(),
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
    fn the_tunnel_for_the_neighbours_on_the_way_out() {
        let mut guard = guard(Lan::Allowed);
        guard.serve_uplink = names(&["eth0", "eth9"]);
        let desired = Desired::Tunnel(guard.clone(), tunnel());
        let text = render(&tables(&desired, &setting()));
        assert_eq!(text, include_str!("golden/tunnel-uplink.txt"));
        let blocked = render(&tables(&Desired::Blocked(guard), &setting()));
        assert!(!blocked.contains("neighbours into the tunnel"), "{blocked}");
        assert!(!blocked.contains("answers of the tunnel"), "{blocked}");
    }

    #[test]
    fn what_is_forwarded_is_refused_where_the_settings_say_so() {
        let mut guard = guard(Lan::Blocked);
        guard.forwarding = Forwarding::Blocked;
        let text = render(&tables(&Desired::Tunnel(guard, tunnel()), &setting()));
        assert!(!text.contains("into the tunnel"), "{text}");
        assert!(!text.contains("answers of the tunnel"), "{text}");
        assert!(
            text.contains("iifname @inside oifname @inside accept"),
            "{text}"
        );
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
        setting.interfaces.outside = (0..300).map(|number| format!("veth{number:03}")).collect();
        let tables = tables(&Desired::Blocked(guard(Lan::Blocked)), &setting);
        let chains = &tables.last().unwrap().chains;
        let names: Vec<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
        assert_eq!(names, ["egress", "egress1", "egress2"]);
        let devices = chains.iter().flat_map(|chain| &chain.devices);
        assert!(devices.eq(&setting.interfaces.outside));
    }

    #[test]
    fn names_that_a_way_out_had_are_kept_where_the_kernel_takes_them() {
        let mut setting = setting();
        setting.former = names(&["eth7", "ppp0"]);
        let seen = |setting: &Setting| {
            let mut tables = tables(&Desired::Blocked(guard(Lan::Blocked)), setting);
            tables.pop().unwrap().chains.remove(0).devices
        };
        assert_eq!(seen(&setting), ["eth0", "eth7", "ppp0", "wlan0"]);
        setting.interfaces.outside.clear();
        assert_eq!(seen(&setting), ["eth7", "ppp0"]);
        setting.capabilities.absent = false;
        setting.interfaces.outside = names(&["eth0"]);
        assert_eq!(seen(&setting), ["eth0"]);
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
                assert!(!text.contains("iifname @served accept"), "{text}");
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
