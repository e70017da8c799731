//! What has to be done, in order.

use std::fmt;

use crate::desired::{Addresses, Desired};
use crate::effect::{Effect, FilterChange};
use crate::error::HostError;
use crate::firewall;
use crate::nft::Table;
use crate::observed::Observed;
use crate::routing::{self, Surroundings};
use crate::rtnl::{Address, Family, Link, LinkSettings, Prefix, Route, RouteKind, Rule};
use crate::tun::{MTU, QUEUE_LENGTH};

/// The effects that bring an observed host to a desired state, in the order in
/// which no moment between two of them is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    effects: Vec<Effect>,
    adapts: bool,
}

impl Plan {
    fn of(effects: Vec<Effect>) -> Self {
        Self {
            effects,
            adapts: false,
        }
    }

    /// The effects, first to last.
    #[must_use]
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// Whether the host is in the desired state already.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    /// Whether the host itself had changed since it was last looked at, its
    /// interfaces or networks, so that the plan need not undo what somebody did.
    #[must_use]
    pub fn is_adaptation(&self) -> bool {
        self.adapts
    }

    /// Says whether the host had changed.
    pub(crate) fn adapting(self, adapts: bool) -> Self {
        Self { adapts, ..self }
    }

    /// Whether the packet filter is made anew, not just changed.
    pub(crate) fn replaces_filter(&self) -> bool {
        let anew = |effect: &Effect| matches!(effect, Effect::Filter(_));
        self.effects.iter().any(anew)
    }

    /// Adds another plan behind this one.
    pub(crate) fn append(&mut self, next: Self) {
        self.effects.extend(next.effects);
        self.adapts |= next.adapts;
    }

    /// The plan that undoes this one.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let effects = self.effects.iter().rev();
        Self {
            effects: effects.filter_map(Effect::reversed).collect(),
            adapts: false,
        }
    }
}

impl fmt::Display for Plan {
    /// One line for each effect.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for effect in &self.effects {
            writeln!(f, "{effect}")?;
        }
        Ok(())
    }
}

/// Lists the effects that bring `observed` to `desired`; none when it is there.
///
/// Closing goes from the outside in: filter, backstops, rules, link. Opening goes
/// the other way, the filter last.
///
/// # Errors
/// [`HostError::NoLink`] when a tunnel is desired and the link does not exist,
/// [`HostError::ForeignLink`] when it is not ours, [`HostError::Owned`] when the
/// packet filter's tables belong to a process that is still running.
pub fn plan(observed: &Observed, desired: &Desired) -> Result<Plan, HostError> {
    plan_with(
        observed,
        desired,
        &firewall::tables(desired, &observed.setting()),
    )
}

/// As [`plan`], with the packet filter's `tables` of the desired state.
pub(crate) fn plan_with(
    observed: &Observed,
    desired: &Desired,
    tables: &[Table],
) -> Result<Plan, HostError> {
    let mut effects = Vec::new();
    if *desired == Desired::Open {
        effects.extend(route_removal(observed, &[], is_entrance));
        effects.extend(link_removal(observed));
        effects.extend(rules(observed, desired));
        effects.extend(route_removal(observed, &[], |route| !is_entrance(route)));
        effects.extend(filter(observed, tables)?);
        return Ok(Plan::of(effects));
    }
    effects.extend(filter(observed, tables)?);
    let backstops = routing::backstops(desired, &observed.kernel);
    effects.extend(route_addition(observed, &backstops, |_| true));
    effects.extend(rules(observed, desired));
    let mut wanted = backstops;
    if let Desired::Tunnel(guard, tunnel) = desired {
        let link = our_link(observed, guard.engine)?;
        let setup = link_setup(observed, link, &tunnel.addresses);
        let is_flushed = is_without_ipv4(observed, link, &setup);
        effects.extend(setup);
        let entrances = routing::entrances(desired, &observed.kernel, link.index);
        let stays = |route: &Route| !(is_flushed && route.destination.family() == Family::V4);
        effects.extend(route_addition(observed, &entrances, stays));
        wanted.extend(entrances);
    }
    effects.extend(route_removal(observed, &wanted, |_| true));
    Ok(Plan::of(effects))
}

fn filter(observed: &Observed, tables: &[Table]) -> Result<Option<Effect>, HostError> {
    let owned = observed.capabilities.ownership;
    let read = &observed.filter;
    let elsewhere = |owner: Option<u32>| owner.is_some_and(|port| port != observed.port);
    if read.iter().any(|read| elsewhere(read.owner)) {
        return Err(HostError::Owned {
            table: crate::names::TABLE,
        });
    }
    let from: Vec<Table> = read.iter().map(|read| read.table.clone()).collect();
    let foreign = read.iter().any(|read| read.foreign);
    let ours = !foreign && read.iter().all(|read| !owned || read.owner.is_some());
    if ours && from == tables {
        return Ok(None);
    }
    let to = tables.to_vec();
    let change = FilterChange { from, to, ours };
    if foreign {
        return Ok(Some(Effect::Filter(change)));
    }
    if change.from == change.to {
        return Ok(Some(Effect::Adopt(change)));
    }
    if ours && change.is_only_elements() {
        return Ok(Some(Effect::Endpoints(change)));
    }
    Ok(Some(Effect::Filter(change)))
}

/// Missing rules from the last to be asked to the first, then the removal of those
/// too many, the first to be asked first.
fn rules(observed: &Observed, desired: &Desired) -> Vec<Effect> {
    let surroundings = Surroundings {
        facts: &observed.kernel,
        own: observed.own_addresses(),
        inside: observed.inside_networks(),
    };
    let wanted = routing::rules(desired, &surroundings);
    let mut present: Vec<&Rule> = observed.our_rules().collect();
    present.sort_unstable();
    let missing = wanted.iter().rev().filter(|rule| !present.contains(rule));
    let mut effects: Vec<Effect> = missing.cloned().map(Effect::AddRule).collect();
    let surplus = present.into_iter().filter(|rule| !wanted.contains(rule));
    effects.extend(surplus.cloned().map(Effect::RemoveRule));
    effects
}

/// Adds the wanted routes to our table that are not there, or do not stay.
fn route_addition(
    observed: &Observed,
    wanted: &[Route],
    stays: impl Fn(&Route) -> bool,
) -> Vec<Effect> {
    let present = observed.our_routes().filter(|route| stays(route));
    let present: Vec<&Route> = present.collect();
    let missing = wanted.iter().filter(|route| !present.contains(route));
    missing.cloned().map(Effect::AddRoute).collect()
}

/// Removes routes from our table that nobody wants. One that shares destination and
/// metric with a wanted one has been replaced by it already.
fn route_removal(
    observed: &Observed,
    wanted: &[Route],
    which: impl Fn(&Route) -> bool,
) -> Vec<Effect> {
    let same_place = |a: &Route, b: &Route| a.destination == b.destination && a.metric == b.metric;
    let surplus = observed.our_routes().filter(|route| which(route));
    let surplus = surplus.filter(|route| !wanted.iter().any(|w| same_place(w, route)));
    surplus.cloned().map(Effect::RemoveRoute).collect()
}

fn is_entrance(route: &Route) -> bool {
    route.kind != RouteKind::Unreachable
}

/// The tunnel link, if it exists and a daemon of ours made it.
fn our_link(observed: &Observed, engine: u32) -> Result<&Link, HostError> {
    let link = observed.link().ok_or(HostError::NoLink)?;
    let foreign = |why| Err(HostError::ForeignLink { why });
    match link.tun {
        None => foreign("it is no tunnel device"),
        Some(tun) if tun.persistent => foreign("it outlives its process"),
        Some(tun) if tun.owner != Some(engine) => foreign("its owner is another user"),
        Some(_) => Ok(link),
    }
}

fn link_setup(observed: &Observed, link: &Link, addresses: &Addresses) -> Vec<Effect> {
    let mut effects = Vec::new();
    let to = LinkSettings {
        mtu: MTU,
        queue_length: QUEUE_LENGTH,
        up: true,
        own_address: link.settings.own_address.map(|_| false),
    };
    if link.settings != to {
        effects.push(Effect::SetLink {
            link: link.index,
            from: link.settings,
            to,
        });
    }
    let on_link = |prefix| Address {
        link: link.index,
        prefix,
    };
    let mut wanted = vec![on_link(Prefix::host(addresses.v4.into()))];
    if observed.kernel.ipv6 && observed.kernel.ipv6_on_link {
        wanted.push(on_link(Prefix::host(addresses.v6.into())));
    }
    let present: Vec<&Address> = observed.addresses_of(link.index).collect();
    for address in &wanted {
        let is_present = present.contains(&address);
        let is_dead = link.settings.up && !observed.delivered.contains(&address.prefix.ip);
        if is_present && is_dead {
            // The kernel's own route to it goes and comes with the address.
            effects.push(Effect::RemoveAddress(*address));
        }
        if !is_present || is_dead {
            effects.push(Effect::AddAddress(*address));
        }
    }
    let surplus = present
        .into_iter()
        .filter(|address| !wanted.contains(address));
    effects.extend(surplus.copied().map(Effect::RemoveAddress));
    effects
}

/// Whether the link has no IPv4 address at some time while it is set up: with the last one
/// the kernel removes all IPv4 routes that lead into it, whatever table they are in.
fn is_without_ipv4(observed: &Observed, link: &Link, setup: &[Effect]) -> bool {
    let is_v4 = |address: &&Address| address.prefix.family() == Family::V4;
    let present = observed.addresses_of(link.index).filter(is_v4);
    let mut left: Vec<&Address> = present.collect();
    setup.iter().any(|effect| {
        if let Effect::AddAddress(address) = effect {
            left.extend(Some(address).filter(is_v4));
        }
        let before = left.len();
        if let Effect::RemoveAddress(address) = effect {
            left.retain(|one| *one != address);
        }
        left.is_empty() && before > 0
    })
}

/// The removal of the link, if it still exists and is a tunnel device as we make
/// them; its addresses and routes go with it.
fn link_removal(observed: &Observed) -> Option<Effect> {
    let link = observed.link()?;
    let ours = link
        .tun
        .is_some_and(|tun| !tun.persistent && tun.owner.is_some());
    ours.then_some(Effect::DeleteLink { link: link.index })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::desired::{Endpoint, Forwarding, Guard, Lan, Transport, Tunnel};
    use crate::firewall::Capabilities;
    use crate::kernel::KernelFacts;
    use crate::nft::Read;
    use crate::rtnl::TunFacts;

    const PORT: u32 = 4711;

    fn link(index: u32, name: &str, tun: Option<TunFacts>) -> Link {
        let kind = if tun.is_some() { "tun" } else { "" };
        Link {
            index,
            name: name.to_owned(),
            other_names: Vec::new(),
            kind: kind.to_owned(),
            master: None,
            leads_elsewhere: false,
            carrier: true,
            settings: LinkSettings {
                mtu: 1500,
                queue_length: 500,
                up: false,
                own_address: Some(true),
            },
            tun,
        }
    }

    fn untouched() -> Observed {
        let tun = TunFacts {
            owner: Some(990),
            persistent: false,
        };
        Observed {
            links: vec![
                link(1, "lo", None),
                link(2, "eth0", None),
                link(3, "vpnm0", Some(tun)),
            ],
            addresses: Vec::new(),
            delivered: BTreeSet::new(),
            rules: Vec::new(),
            routes: Vec::new(),
            uplinks: [2].into(),
            former: Vec::new(),
            kernel: KernelFacts {
                ipv6: true,
                ipv6_on_link: true,
                strict_reverse_path: false,
                cubic: true,
                local_resolver: false,
            },
            capabilities: Capabilities {
                ownership: true,
                holding: true,
                egress: true,
                devices: true,
                absent: true,
            },
            filter: Vec::new(),
            port: PORT,
            answer_mark: 0x0076_0001,
        }
    }

    fn guard() -> Guard {
        Guard {
            engine: 990,
            endpoints: vec![Endpoint {
                uid: 990,
                ip: "192.0.2.1".parse().unwrap(),
                transport: Transport::Tcp,
                port: 443,
            }],
            lan: Lan::Blocked,
            forwarding: Forwarding::Tunnel,
            serve: Vec::new(),
            serve_uplink: Vec::new(),
        }
    }

    fn tunnel() -> Desired {
        let addresses = untouched().tunnel_addresses().unwrap();
        let tunnel = Tunnel {
            addresses,
            dns_port: 5335,
        };
        Desired::Tunnel(guard(), tunnel)
    }

    /// What the kernel would show after a plan was carried out.
    fn after(mut observed: Observed, plan: &Plan) -> Observed {
        for effect in plan.effects() {
            match effect.clone() {
                Effect::Filter(change) | Effect::Endpoints(change) | Effect::Adopt(change) => {
                    let read = |table| Read {
                        table,
                        owner: Some(PORT),
                        foreign: false,
                    };
                    observed.filter = change.to.into_iter().map(read).collect();
                }
                Effect::AddRoute(route) => observed.routes.push(route),
                Effect::RemoveRoute(route) => observed.routes.retain(|r| *r != route),
                Effect::AddRule(rule) => observed.rules.push(rule),
                Effect::RemoveRule(rule) => observed.rules.retain(|r| *r != rule),
                Effect::SetLink { link, to, .. } => {
                    for one in observed.links.iter_mut().filter(|one| one.index == link) {
                        one.settings = to;
                    }
                }
                Effect::AddAddress(address) => {
                    observed.addresses.push(address);
                    observed.delivered.insert(address.prefix.ip);
                }
                Effect::RemoveAddress(address) => {
                    observed.addresses.retain(|a| *a != address);
                    observed.delivered.remove(&address.prefix.ip);
                    without_ipv4_no_route_stays(&mut observed, address.link);
                }
                Effect::DeleteLink { link } => {
                    observed.links.retain(|one| one.index != link);
                    observed.addresses.retain(|address| address.link != link);
                }
            }
        }
        observed
    }

    /// As the kernel has it.
    fn without_ipv4_no_route_stays(observed: &mut Observed, from: u32) {
        let is_v4 = |address: &Address| address.prefix.ip.is_ipv4();
        if observed.addresses_of(from).any(is_v4) {
            return;
        }
        let leads_into = |route: &Route| {
            let is_v4 = route.destination.ip.is_ipv4();
            is_v4 && matches!(route.kind, RouteKind::Link { link, .. } if link == from)
        };
        observed.routes.retain(|route| !leads_into(route));
    }

    #[test]
    fn from_open_to_blocked() {
        let plan = plan(&untouched(), &Desired::Blocked(guard())).unwrap();
        assert_eq!(plan.to_string(), include_str!("plan/golden/block.txt"));
    }

    #[test]
    fn from_open_to_tunnel_at_once() {
        let plan = plan(&untouched(), &tunnel()).unwrap();
        assert_eq!(plan.to_string(), include_str!("plan/golden/tunnel.txt"));
    }

    #[test]
    fn from_tunnel_to_open() {
        let there = plan(&untouched(), &tunnel()).unwrap();
        let back = plan(&after(untouched(), &there), &Desired::Open).unwrap();
        assert_eq!(back.to_string(), include_str!("plan/golden/open.txt"));
    }

    #[test]
    fn a_strict_reverse_path_filter_takes_a_rule_for_each_server_and_each_address() {
        let mut observed = untouched();
        observed.kernel.strict_reverse_path = true;
        observed.addresses = ["127.0.0.1", "192.168.77.10", "2001:db8::10"]
            .map(|ip| Address {
                link: 2,
                prefix: Prefix::new(ip.parse().unwrap(), 24),
            })
            .to_vec();
        let plan = plan(&observed, &Desired::Blocked(guard())).unwrap();
        let more: Vec<String> = plan.effects().iter().map(ToString::to_string).collect();
        let strict = |text: &&String| text.contains("7603");
        let more: Vec<&String> = more.iter().filter(strict).collect();
        let rules = [
            "+ rule v4 7603: uidrange 0-0 from 192.168.77.10/32 to 192.0.2.1/32 ipproto 6 dport 443 \
                lookup main",
            "+ rule v4 7603: uidrange 0-0 from 192.168.77.10/32 ipproto 1 lookup main",
        ];
        assert_eq!(more, rules);
    }

    #[test]
    fn a_plan_carried_out_leaves_nothing_to_do() {
        let states = [Desired::Open, Desired::Blocked(guard()), tunnel()];
        for first in &states {
            let there = plan(&untouched(), first).unwrap();
            let observed = after(untouched(), &there);
            for second in &states {
                let Ok(next) = plan(&observed, second) else {
                    assert_eq!((first, second), (&Desired::Open, &tunnel()));
                    continue;
                };
                let reached = after(observed.clone(), &next);
                assert_eq!(plan(&reached, second).unwrap(), Plan::default());
            }
        }
    }

    #[test]
    fn an_address_that_nothing_is_delivered_to_is_given_anew() {
        let there = plan(&untouched(), &tunnel()).unwrap();
        let mut observed = after(untouched(), &there);
        observed.delivered.retain(std::net::IpAddr::is_ipv4);
        let again = plan(&observed, &tunnel()).unwrap();
        let given = "- address fd76:706e:6d30::1/128\n+ address fd76:706e:6d30::1/128\n";
        assert_eq!(again.to_string(), given);
    }

    #[test]
    fn routes_that_go_with_the_last_ipv4_address_come_back_with_it() {
        let there = plan(&untouched(), &tunnel()).unwrap();
        let mut observed = after(untouched(), &there);
        observed.delivered.clear();
        let again = plan(&observed, &tunnel()).unwrap();
        let entrances = again.effects().iter();
        let entrances = entrances.filter(|effect| matches!(effect, Effect::AddRoute(_)));
        assert_eq!(entrances.count(), 1, "{again}");
        let reached = after(observed.clone(), &again);
        assert_eq!(plan(&reached, &tunnel()).unwrap(), Plan::default());
        // One that another address keeps is not given anew.
        let other = Address {
            link: 3,
            prefix: Prefix::host("198.18.76.71".parse().unwrap()),
        };
        observed.addresses.push(other);
        let again = plan(&observed, &tunnel()).unwrap();
        assert!(!again.to_string().contains("+ route"), "{again}");
        let reached = after(observed, &again);
        assert_eq!(plan(&reached, &tunnel()).unwrap(), Plan::default());
    }

    #[test]
    fn a_plan_and_its_reverse_cancel_out() {
        let mut observed = untouched();
        observed
            .links
            .iter_mut()
            .for_each(|link| link.settings.up = true);
        let plan = plan(&observed, &tunnel()).unwrap();
        let there = after(observed.clone(), &plan);
        assert_eq!(after(there, &plan.reversed()), observed);
    }

    #[test]
    fn a_moment_between_two_effects_is_never_open() {
        let way_in = plan(&untouched(), &tunnel()).unwrap();
        let first = way_in.effects().first().unwrap();
        assert!(matches!(first, Effect::Filter(_)), "{first}");
        let way_out = plan(&after(untouched(), &way_in), &Desired::Open).unwrap();
        let last = way_out.effects().last().unwrap();
        assert!(matches!(last, Effect::Filter(_)), "{last}");
    }

    #[test]
    fn the_tables_of_a_running_daemon_are_not_touched() {
        let there = plan(&untouched(), &Desired::Blocked(guard())).unwrap();
        let mut observed = after(untouched(), &there);
        observed.port += 1;
        let error = plan(&observed, &Desired::Open).unwrap_err();
        assert!(matches!(error, HostError::Owned { .. }), "{error}");
    }

    #[test]
    fn tables_left_behind_are_adopted() {
        let desired = Desired::Blocked(guard());
        let mut observed = after(untouched(), &plan(&untouched(), &desired).unwrap());
        observed
            .filter
            .iter_mut()
            .for_each(|read| read.owner = None);
        let plan = plan(&observed, &desired).unwrap();
        assert_eq!(plan.to_string(), "~ filter adopted\n");
    }

    #[test]
    fn a_link_of_others_is_told_from_ours() {
        let facts = |owner, persistent| Some(TunFacts { owner, persistent });
        for tun in [
            None,
            facts(Some(990), true),
            facts(Some(1), false),
            facts(None, false),
        ] {
            let mut observed = untouched();
            observed.links.retain(|link| link.name != "vpnm0");
            observed.links.push(link(9, "vpnm0", tun));
            let error = plan(&observed, &tunnel()).unwrap_err();
            assert!(
                matches!(error, HostError::ForeignLink { .. }),
                "{tun:?}: {error}"
            );
        }
    }

    #[test]
    fn addresses_in_use_are_passed_over() {
        let mut observed = untouched();
        let address = |link, text: &str, length| Address {
            link,
            prefix: Prefix::new(text.parse().unwrap(), length),
        };
        observed.addresses = vec![
            address(2, "198.18.0.1", 15),
            address(2, "fd76:706e:6d30::5", 48),
        ];
        let found = observed.tunnel_addresses().unwrap();
        assert_eq!(found.v4.to_string(), "10.176.76.70");
        assert_eq!(found.v6.to_string(), "fd9e:3c1b:7670::1");
        observed.addresses.push(address(3, "172.30.76.70", 32));
        let kept = observed.tunnel_addresses().unwrap();
        assert_eq!(kept.v4.to_string(), "172.30.76.70");
        observed.addresses = vec![address(2, "0.0.0.0", 0)];
        assert!(matches!(
            observed.tunnel_addresses(),
            Err(HostError::AddressesTaken)
        ));
    }
}
