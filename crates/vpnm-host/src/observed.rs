//! What the host looks like.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::desired::Addresses;
use crate::error::HostError;
use crate::firewall::{
    Capabilities, LAN_PREFIXES, LINK_LOCAL_6, Setting, former_of, mark_of, uplinks_of,
};
use crate::interfaces::{Interfaces, is_inside};
use crate::kernel::KernelFacts;
use crate::names::{LINK, PROTOCOL, ROUTE_TABLE, RULE_PRIORITIES};
use crate::netlink::{link_name, link_name_bytes};
use crate::nft::{Chain, Read, TableFamily};
use crate::rtnl::{Address, Family, Link, Prefix, Route, RouteKind, Rule};

/// Everything a plan is made from, as read at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The network interfaces.
    pub links: Vec<Link>,
    /// Their addresses.
    pub addresses: Vec<Address>,
    /// The addresses whose packets the kernel delivers here. One of IPv6 that was just
    /// given to a link is not among them for some milliseconds.
    pub(crate) delivered: BTreeSet<IpAddr>,
    /// All routing rules of the host.
    pub rules: Vec<Rule>,
    /// The routes in our table, and the default routes of the main table.
    pub routes: Vec<Route>,
    /// The links by which this host leaves its own networks: over which a default route
    /// or one by a gateway leads, in any table but ours, or which have an address that
    /// somebody gave them for a time; and those that once were. 0 stands for one the
    /// kernel did not name.
    pub uplinks: BTreeSet<u32>,
    /// Names that such links had, or could have, and nobody has now, sorted.
    pub(crate) former: Vec<String>,
    /// Settings under /proc.
    pub kernel: KernelFacts,
    /// How far the packet filter goes.
    pub capabilities: Capabilities,
    /// Our tables in the packet filter.
    pub(crate) filter: Vec<Read>,
    /// The port of our own socket, which owns the tables.
    pub(crate) port: u32,
    /// The mark on packets that the tunnel answers a host behind this one with.
    pub(crate) answer_mark: u32,
}

/// What a plan is made from besides the desired state and what is ours: as long as
/// it stays the same, a plan for the same state undoes what others did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Circumstances {
    setting: Setting,
    kernel: KernelFacts,
    own: Vec<IpAddr>,
    inside: Vec<Prefix>,
}

/// IPv4 addresses kept for the link: benchmarking (RFC 2544), then private ranges.
const CANDIDATES_4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(198, 18, 76, 70),
    Ipv4Addr::new(10, 176, 76, 70),
    Ipv4Addr::new(172, 30, 76, 70),
    Ipv4Addr::new(192, 168, 176, 70),
];
/// IPv6 addresses kept for the link, from two unique local prefixes (RFC 4193).
const CANDIDATES_6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd76, 0x706e, 0x6d30, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfd9e, 0x3c1b, 0x7670, 0, 0, 0, 0, 1),
];

impl Observed {
    /// The addresses for the tunnel link: those it has already, or the first kept
    /// pair that collides with no network of this host.
    ///
    /// # Errors
    /// [`HostError::AddressesTaken`].
    pub fn tunnel_addresses(&self) -> Result<Addresses, HostError> {
        let v4 = self.free(CANDIDATES_4.map(IpAddr::from));
        let v6 = self.free(CANDIDATES_6.map(IpAddr::from));
        match (v4, v6) {
            (Some(IpAddr::V4(v4)), Some(IpAddr::V6(v6))) => Ok(Addresses { v4, v6 }),
            _ => Err(HostError::AddressesTaken),
        }
    }

    /// Whether the main table has a default route of the family: without one, no
    /// server can be reached over it.
    #[must_use]
    pub fn has_default_route(&self, family: Family) -> bool {
        self.routes
            .iter()
            .any(|route| route.table != ROUTE_TABLE && route.destination == family.any())
    }

    /// Rules of others that are asked before ours and so may lead packets away,
    /// which the packet filter then drops: another VPN, as a rule.
    pub fn rules_before_ours(&self) -> impl Iterator<Item = &Rule> {
        let local = |rule: &Rule| rule.priority == 0;
        let before = |rule: &&Rule| rule.priority <= *RULE_PRIORITIES.end();
        self.rules
            .iter()
            .filter(before)
            .filter(move |rule| !local(rule) && !is_ours(rule))
    }

    /// Whether a packet filter of ours is in place, whatever it lets pass.
    #[must_use]
    pub fn is_filtered(&self) -> bool {
        !self.filter.is_empty()
    }

    /// Whether the chain of ours that sees frames, if there is one, sees those of every way
    /// out: one that is new or has another name is not known to it for some milliseconds.
    #[must_use]
    pub fn sees_all_frames(&self) -> bool {
        let names: BTreeSet<&String> = self.frame_chains().flat_map(|c| &c.devices).collect();
        let is_seen = |link: &Link| names.contains(&link.name);
        self.frame_chains().next().is_none() || self.ways_out().all(is_seen)
    }

    /// Whether our routes lead packets into the tunnel link, whatever becomes of them
    /// there.
    #[must_use]
    pub fn is_routed(&self) -> bool {
        let mut routes = self.our_routes();
        routes.any(|route| matches!(route.kind, RouteKind::Link { .. }))
    }

    /// What a plan is made from besides the desired state and what is ours.
    pub(crate) fn circumstances(&self) -> Circumstances {
        Circumstances {
            setting: self.setting(),
            kernel: self.kernel,
            own: self.own_addresses(),
            inside: self.inside_networks(),
        }
    }

    /// The link vpnm0, whoever made it.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        self.links.iter().find(|link| link.name == LINK)
    }

    /// The links by which something may leave this host: all but the loopback, the
    /// tunnel link, and what leads only to containers and virtual machines.
    pub fn ways_out(&self) -> impl Iterator<Item = &Link> {
        let outside = Interfaces::of(&self.links, &self.uplinks).outside;
        let links = self.links.iter();
        links.filter(move |link| outside.contains(&link.name))
    }

    pub(crate) fn our_rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| is_ours(rule))
    }

    pub(crate) fn our_routes(&self) -> impl Iterator<Item = &Route> {
        self.routes
            .iter()
            .filter(|route| route.table == ROUTE_TABLE)
    }

    pub(crate) fn addresses_of(&self, link: u32) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(move |address| address.link == link)
    }

    /// The addresses of all interfaces but the tunnel link.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        let link = self.link().map(|link| link.index);
        let others = self.addresses.iter().filter(|a| Some(a.link) != link);
        others.map(|address| address.prefix.ip).collect()
    }

    /// The private networks on links that lead nowhere but to containers and virtual
    /// machines of this host.
    pub(crate) fn inside_networks(&self) -> Vec<Prefix> {
        let inside = |index: u32| {
            let link = self.links.iter().find(|link| link.index == index);
            link.is_some_and(|link| is_inside(link, &self.links, &self.uplinks))
        };
        let addresses = self.addresses.iter().filter(|a| inside(a.link));
        let networks = addresses.map(|address| address.prefix.network());
        networks.filter(is_private).collect()
    }

    /// The networks that this host has an address in besides those of its own links.
    /// What has no other host in it is none, nor is what nobody forwards from.
    fn neighbourhoods(&self) -> Vec<(String, Prefix)> {
        let named = |address: &Address| {
            let mut links = self.links.iter();
            let link = links.find(|link| link.index == address.link)?;
            let network = address.prefix.network();
            let is_wide = !network.is_any() && network != Prefix::host(network.ip);
            let is_foreign = link.name != "lo" && link.name != LINK;
            let counts = is_wide && is_foreign && !LINK_LOCAL_6.covers(&network);
            counts.then(|| (link.name.clone(), network))
        };
        let networks: BTreeSet<_> = self.addresses.iter().filter_map(named).collect();
        networks.into_iter().collect()
    }

    pub(crate) fn setting(&self) -> Setting {
        let interfaces = Interfaces::of(&self.links, &self.uplinks);
        Setting {
            capabilities: self.capabilities,
            interfaces,
            former: self.former.clone(),
            neighbourhoods: self.neighbourhoods(),
            answer_mark: self.answer_mark,
            local_resolver: self.kernel.local_resolver,
        }
    }

    /// The links that the tables in place were made to know as uplinks.
    pub(crate) fn known_uplinks(&self) -> impl Iterator<Item = u32> {
        let names: BTreeSet<&[u8]> = self
            .filter
            .iter()
            .flat_map(|r| uplinks_of(&r.table))
            .collect();
        let links = self.links.iter();
        links
            .filter(move |link| names.contains(&*link_name_bytes(&link.name)))
            .map(|link| link.index)
    }

    /// The names that the tables in place were made to know of former ways out and, the
    /// latest, of those there were then.
    pub(crate) fn known_names(&self) -> Vec<String> {
        let tables = || self.filter.iter().map(|read| &read.table);
        let former = tables().flat_map(former_of);
        let names = former.chain(tables().flat_map(uplinks_of));
        names.map(link_name).collect()
    }

    fn frame_chains(&self) -> impl Iterator<Item = &Chain> {
        let tables = self.filter.iter().map(|read| &read.table);
        let of_frames = tables.filter(|table| table.family == TableFamily::Netdev);
        of_frames.flat_map(|table| &table.chains)
    }

    /// The mark that the tables in place put on answers of the tunnel.
    pub(crate) fn mark_in_place(&self) -> Option<u32> {
        self.filter.iter().find_map(|read| mark_of(&read.table))
    }

    fn free<const N: usize>(&self, candidates: [IpAddr; N]) -> Option<IpAddr> {
        let link = self.link().map(|link| link.index);
        let held = |ip: &IpAddr| {
            let own = self.addresses.iter().filter(|a| Some(a.link) == link);
            own.map(|a| a.prefix)
                .any(|prefix| prefix == Prefix::host(*ip))
        };
        let collides = |ip: &IpAddr| {
            let others = self.addresses.iter().filter(|a| Some(a.link) != link);
            others.map(|a| a.prefix).any(|prefix| prefix.contains(*ip))
        };
        candidates
            .into_iter()
            .find(held)
            .or_else(|| candidates.into_iter().find(|ip| !collides(ip)))
    }
}

/// Whether an address is one of those that the tunnel link may have.
pub(crate) fn is_kept(ip: IpAddr) -> bool {
    let kept_4 = CANDIDATES_4.map(IpAddr::from).contains(&ip);
    kept_4 || CANDIDATES_6.map(IpAddr::from).contains(&ip)
}

fn is_private(network: &Prefix) -> bool {
    LAN_PREFIXES.iter().any(|lan| lan.covers(network))
}

fn is_ours(rule: &Rule) -> bool {
    rule.protocol == PROTOCOL && RULE_PRIORITIES.contains(&rule.priority)
}
