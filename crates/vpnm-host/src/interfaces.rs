//! What this host's interfaces lead to.

use std::collections::BTreeSet;

use crate::names::LINK;
use crate::rtnl::Link;

/// The interfaces besides `lo` and the tunnel link, by where they lead; each list
/// is sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interfaces {
    /// Those by which something may leave this host.
    pub(crate) outside: Vec<String>,
    /// Bridges that lead only to containers and virtual machines of this host.
    pub(crate) inside: Vec<String>,
    /// Those whose hosts are led into the tunnel: containers and virtual machines.
    pub(crate) served: Vec<String>,
    /// Those whose hosts may be, where the settings say so: all but the ways to the
    /// internet, where anybody may be.
    pub(crate) servable: Vec<String>,
    /// The ways to the internet, and what once was one.
    pub(crate) uplinks: Vec<String>,
}

impl Interfaces {
    /// Sorts links by where they lead; `uplinks` are those with routes by a gateway or
    /// with addresses that somebody on them gives.
    pub(crate) fn of(links: &[Link], uplinks: &BTreeSet<u32>) -> Self {
        let mut all = Self::default();
        let others = links.iter().filter(|link| !is_own(link));
        for link in others {
            let name = || link.name.clone();
            let bridge = link.master.and_then(|master| by_index(links, master));
            let is_inside = |link| is_inside(link, links, uplinks);
            let inside = is_inside(link);
            if inside {
                all.inside.push(name());
            } else if !bridge.is_some_and(is_inside) {
                all.outside.push(name());
            }
            if leads_out(uplinks, link.index) {
                all.uplinks.push(name());
            } else if link.master.is_none() {
                all.servable.push(name());
                if inside || is_to_a_container(link) {
                    all.served.push(name());
                }
            }
        }
        let Self {
            outside,
            inside,
            served,
            servable,
            uplinks,
        } = &mut all;
        for list in [outside, inside, served, servable, uplinks] {
            list.sort_unstable();
        }
        all
    }
}

/// Stands among uplinks for one the kernel did not name.
const UNKNOWN: u32 = 0;

/// Kinds of ports whose other end is a virtual machine, or nothing.
const VIRTUAL: [&str; 2] = ["tun", "dummy"];

/// Whether a link leads only to containers and virtual machines of this host: a
/// bridge that no route by a gateway goes over, with ports of which none could be a
/// cable. Inside a container a cable is a virtual one too, but there is a route by a
/// gateway over it. Nobody is behind a bridge without ports, and its first may be a
/// cable: what programs had it ask for then would pass until that is seen.
pub(crate) fn is_inside(link: &Link, links: &[Link], uplinks: &BTreeSet<u32>) -> bool {
    let ports = links.iter().filter(|port| port.master == Some(link.index));
    let mut ports = ports.peekable();
    let is_virtual = |port: &Link| is_to_a_container(port) || VIRTUAL.contains(&port.kind.as_str());
    link.kind == "bridge"
        && link.master.is_none()
        && !leads_out(uplinks, link.index)
        && ports.peek().is_some()
        && ports.all(|port| is_virtual(port) && !leads_out(uplinks, port.index))
}

/// A virtual cable out of this network namespace; one with both ends in it leads to
/// whatever its other end is part of.
fn is_to_a_container(link: &Link) -> bool {
    link.kind == "veth" && link.leads_elsewhere
}

fn leads_out(uplinks: &BTreeSet<u32>, index: u32) -> bool {
    uplinks.contains(&UNKNOWN) || uplinks.contains(&index)
}

pub(crate) fn is_own(link: &Link) -> bool {
    link.name == "lo" || link.name == LINK
}

fn by_index(links: &[Link], index: u32) -> Option<&Link> {
    links.iter().find(|link| link.index == index)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rtnl::LinkSettings;

    pub(crate) fn link(index: u32, name: &str, kind: &str, master: Option<u32>) -> Link {
        Link {
            index,
            name: name.to_owned(),
            other_names: Vec::new(),
            kind: kind.to_owned(),
            master,
            leads_elsewhere: kind == "veth",
            carrier: true,
            settings: LinkSettings {
                mtu: 1500,
                queue_length: 1000,
                up: true,
                own_address: Some(true),
            },
            tun: None,
        }
    }

    fn host() -> Vec<Link> {
        vec![
            link(1, "lo", "", None),
            link(2, "eth0", "", None),
            link(3, "eth1", "", None),
            link(4, "vpnm0", "tun", None),
            link(5, "docker0", "bridge", None),
            link(6, "veth1", "veth", Some(5)),
            link(7, "virbr0", "bridge", None),
            link(8, "vnet0", "tun", Some(7)),
            link(9, "br-lan", "bridge", None),
            link(10, "eth2", "", Some(9)),
            link(11, "vnet1", "tun", Some(9)),
            link(12, "ve-box", "veth", None),
            link(13, "br-none", "bridge", None),
        ]
    }

    #[test]
    fn only_bridges_to_containers_and_to_no_cable_are_inside() {
        let all = Interfaces::of(&host(), &[2].into());
        assert_eq!(all.inside, ["docker0", "virbr0"]);
        let outside = [
            "br-lan", "br-none", "eth0", "eth1", "eth2", "ve-box", "vnet1",
        ];
        assert_eq!(all.outside, outside);
        assert_eq!(all.uplinks, ["eth0"]);
    }

    #[test]
    fn containers_are_served_and_whoever_is_behind_a_cable_only_if_named() {
        let all = Interfaces::of(&host(), &[2].into());
        assert_eq!(all.served, ["docker0", "ve-box", "virbr0"]);
        let servable = ["br-lan", "br-none", "docker0", "eth1", "ve-box", "virbr0"];
        assert_eq!(all.servable, servable);
    }

    #[test]
    fn a_bridge_with_a_gateway_is_a_way_out_whatever_its_ports_are() {
        for uplink in [5, 6] {
            let all = Interfaces::of(&host(), &[2, uplink].into());
            assert_eq!(all.inside, ["virbr0"]);
            assert!(all.outside.contains(&"docker0".to_owned()));
            assert!(all.outside.contains(&"veth1".to_owned()));
        }
    }

    #[test]
    fn a_virtual_cable_with_both_ends_here_is_a_cable() {
        let mut host = host();
        for link in &mut host {
            link.leads_elsewhere = false;
        }
        let all = Interfaces::of(&host, &[2].into());
        assert_eq!(all.inside, ["virbr0"], "it has another port");
        assert_eq!(all.served, ["virbr0"]);
    }

    #[test]
    fn nothing_is_trusted_when_the_ways_out_are_not_known() {
        let all = Interfaces::of(&host(), &[UNKNOWN].into());
        let lists = [&all.inside, &all.served, &all.servable];
        assert!(lists.into_iter().all(Vec::is_empty), "{all:?}");
        assert_eq!(all.outside.len(), host().len() - 2);
    }
}
