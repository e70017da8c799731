//! What has to be done, in order.

use std::fmt;

use crate::desired::{Addresses, Desired};
use crate::effect::{Effect, FilterChange};
use crate::error::HostError;
use crate::firewall;
use crate::nft::Table;
use crate::observed::Observed;
use crate::routing;
use crate::rtnl::{Address, Link, LinkSettings, Prefix, Route, RouteKind, Rule};
use crate::tun::{MTU, QUEUE_LENGTH};

/// The effects that bring an observed host to a desired state, in the order in
/// which no moment between two of them is open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    effects: Vec<Effect>,
}

impl Plan {
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

    /// This plan and then another.
    #[must_use]
    pub(crate) fn then(mut self, next: Self) -> Self {
        self.effects.extend(next.effects);
        self
    }

    /// The plan that undoes this one.
    #[must_use]
    pub fn reversed(&self) -> Self {
        let effects = self.effects.iter().rev();
        Self {
            effects: effects.filter_map(Effect::reversed).collect(),
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
    let mut effects = Vec::new();
    if *desired == Desired::Open {
        effects.extend(route_removal(observed, &[], is_entrance));
        effects.extend(link_removal(observed));
        effects.extend(rules(observed, desired));
        effects.extend(route_removal(observed, &[], |route| !is_entrance(route)));
        effects.extend(filter(observed, desired)?);
        return Ok(Plan { effects });
    }
    effects.extend(filter(observed, desired)?);
    let backstops = routing::backstops(desired, &observed.kernel);
    effects.extend(route_addition(observed, &backstops));
    effects.extend(rules(observed, desired));
    let mut wanted = backstops;
    if let Desired::Tunnel(guard, tunnel) = desired {
        let link = our_link(observed, guard.engine)?;
        effects.extend(link_setup(observed, link, &tunnel.addresses));
        let entrances = routing::entrances(desired, &observed.kernel, link.index);
        effects.extend(route_addition(observed, &entrances));
        wanted.extend(entrances);
    }
    effects.extend(route_removal(observed, &wanted, |_| true));
    Ok(Plan { effects })
}

fn filter(observed: &Observed, desired: &Desired) -> Result<Option<Effect>, HostError> {
    let to = firewall::tables(desired, &observed.setting());
    let owned = observed.capabilities.ownership;
    let read = &observed.filter;
    let elsewhere = |owner: Option<u32>| owner.is_some_and(|port| port != observed.port);
    if read.iter().any(|read| elsewhere(read.owner)) {
        return Err(HostError::Owned {
            table: crate::names::TABLE,
        });
    }
    let from: Vec<Table> = read.iter().map(|read| read.table.clone()).collect();
    let change = FilterChange { from, to };
    if read.iter().any(|read| read.foreign) {
        return Ok(Some(Effect::Filter(change)));
    }
    if change.from == change.to {
        let ours = read.iter().all(|read| !owned || read.owner.is_some());
        return Ok((!ours).then_some(Effect::Adopt(change)));
    }
    let ours = read.iter().all(|read| !owned || read.owner.is_some());
    if ours && change.is_only_elements() {
        return Ok(Some(Effect::Endpoints(change)));
    }
    Ok(Some(Effect::Filter(change)))
}

/// Missing rules from the last to be asked to the first, then the removal of those
/// too many, the first to be asked first.
fn rules(observed: &Observed, desired: &Desired) -> Vec<Effect> {
    let wanted = routing::rules(desired, &observed.kernel);
    let mut present: Vec<&Rule> = observed.our_rules().collect();
    present.sort_unstable();
    let missing = wanted.iter().rev().filter(|rule| !present.contains(rule));
    let mut effects: Vec<Effect> = missing.cloned().map(Effect::AddRule).collect();
    let surplus = present.into_iter().filter(|rule| !wanted.contains(rule));
    effects.extend(surplus.cloned().map(Effect::RemoveRule));
    effects
}

fn route_addition(observed: &Observed, wanted: &[Route]) -> Vec<Effect> {
    let present: Vec<&Route> = observed.our_routes().collect();
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
    let missing = wanted.iter().filter(|address| !present.contains(address));
    effects.extend(missing.copied().map(Effect::AddAddress));
    let surplus = present
        .into_iter()
        .filter(|address| !wanted.contains(address));
    effects.extend(surplus.copied().map(Effect::RemoveAddress));
    effects
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
