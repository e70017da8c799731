//! Carries out single effects.

use std::thread;
use std::time::{Duration, Instant};

use super::{Host, unless};
use crate::effect::{Effect, FilterChange};
use crate::error::HostError;
use crate::firewall::Capabilities;
use crate::netlink::{Failure, Request, Socket};
use crate::nft::{Batch, Ownership, TableFamily};
use crate::rtnl::{self, Address, LOCAL_TABLE};

/// Milliseconds between looks whether packets to a new address are delivered; 89 were
/// seen on a machine that is busy with interfaces that come and go.
const DELIVERY: [u64; 9] = [1, 1, 2, 4, 8, 16, 32, 64, 128];

impl Host {
    pub(super) fn carry_out(&mut self, effect: &Effect) -> Result<(), HostError> {
        match effect {
            Effect::Filter(change) => self.replace_filter(change),
            Effect::Endpoints(change) => self.change_endpoints(change),
            Effect::Adopt(change) => self.adopt_filter(change),
            Effect::AddAddress(address) => {
                routing(&mut self.route, effect)?;
                self.await_delivery(address)
            }
            Effect::AddRoute(_)
            | Effect::RemoveRoute(_)
            | Effect::AddRule(_)
            | Effect::RemoveRule(_)
            | Effect::SetLink { .. }
            | Effect::RemoveAddress(_)
            | Effect::DeleteLink { .. } => routing(&mut self.route, effect),
        }
    }

    /// Puts new tables in the place of whatever has our names, at one instant.
    fn replace_filter(&mut self, change: &FilterChange) -> Result<(), HostError> {
        let mut batch = self.batch();
        replace(&mut batch, change, self.capabilities);
        self.commit(batch, "replace the packet filter")
    }

    fn batch(&self) -> Batch {
        Batch::new(Ownership::lasting(self.capabilities.ownership))
    }

    fn change_endpoints(&mut self, change: &FilterChange) -> Result<(), HostError> {
        let mut batch = self.batch();
        for change in change.elements() {
            batch.add_elements(change.family, &change.set.name, &change.added);
            batch.remove_elements(change.family, &change.set.name, &change.removed);
        }
        self.commit(batch, "change the endpoints in the packet filter")
    }

    fn adopt_filter(&mut self, change: &FilterChange) -> Result<(), HostError> {
        let mut batch = self.batch();
        for table in &change.to {
            batch.claim(table.family);
        }
        self.commit(batch, "adopt the packet filter")
    }

    /// Waits until packets to a new address are delivered: for IPv6 the kernel leaves that
    /// to a worker of its own, and drops the first answers if it is late.
    fn await_delivery(&mut self, address: &Address) -> Result<(), HostError> {
        let ip = address.prefix.ip;
        if self.late.knows(ip) {
            return Ok(());
        }
        for wait in DELIVERY {
            if is_delivered(&mut self.route, address)? {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(wait));
        }
        tracing::warn!(%address, "nothing is delivered to it yet");
        self.late.note(ip, Instant::now());
        Ok(())
    }

    fn commit(&mut self, batch: Batch, action: &'static str) -> Result<(), HostError> {
        let outcome = self.filter.batch(&batch.finish());
        let refused = outcome.map_err(|failure| failure.during(action))?;
        let first: Option<Failure> = refused.into_iter().next().map(|(_, failure)| failure);
        first.map_or(Ok(()), |failure| Err(failure.during_filter_change(action)))
    }
}

/// Puts tables in the place of others, or changes what is in them.
///
/// Chains that are where they should be stay, and get other rules: while a packet is on
/// its way through the chains of a hook, one of them may be exchanged for another that it
/// has passed already.
pub(super) fn replace(batch: &mut Batch, change: &FilterChange, capabilities: Capabilities) {
    for family in TableFamily::ALL {
        if let Some((from, to)) = change.keeping_chains(family, capabilities) {
            batch.renew(from, to);
            continue;
        }
        batch.clear(family);
        if let Some(table) = change.to.iter().find(|table| table.family == family) {
            batch.claim(family);
            batch.fill(table);
        }
    }
}

/// Carries an effect out that is not the packet filter's; does nothing for those.
pub(super) fn routing(socket: &mut Socket, effect: &Effect) -> Result<(), HostError> {
    match effect {
        Effect::Filter(_) | Effect::Endpoints(_) | Effect::Adopt(_) => Ok(()),
        Effect::AddRoute(route) => {
            add(socket, &rtnl::add_route(route), "add a route to table 7670")
        }
        Effect::RemoveRoute(route) => remove(
            socket,
            &rtnl::remove_route(route),
            "remove a route from table 7670",
        ),
        Effect::AddRule(rule) => add(socket, &rtnl::add_rule(rule), "add a routing rule"),
        Effect::RemoveRule(rule) => {
            remove(socket, &rtnl::remove_rule(rule), "remove a routing rule")
        }
        Effect::SetLink { link, to, .. } => {
            let mut requests = rtnl::set_link(*link, to).into_iter();
            let outcome = requests.try_for_each(|request| socket.request(&request));
            outcome.map_err(|failure| failure.during("set up the link vpnm0"))
        }
        Effect::AddAddress(address) => {
            add(socket, &rtnl::add_address(address), "give vpnm0 an address")
        }
        Effect::RemoveAddress(address) => remove(
            socket,
            &rtnl::remove_address(address),
            "take an address from vpnm0",
        ),
        Effect::DeleteLink { link } => {
            remove(socket, &rtnl::delete_link(*link), "remove the link vpnm0")
        }
    }
}

/// Whether packets to an address of the tunnel link are delivered.
fn is_delivered(socket: &mut Socket, address: &Address) -> Result<bool, HostError> {
    let (family, ip) = (address.prefix.family(), address.prefix.ip);
    let request = rtnl::routes_into(address.link, family, LOCAL_TABLE);
    match socket.query(&request, rtnl::decode_route) {
        Ok(routes) => Ok(routes.iter().any(|route| route.delivers_to() == Some(ip))),
        // There is no such table yet, or the link went.
        Err(Failure::Kernel {
            errno: libc::ENOENT | libc::ENODEV,
            ..
        }) => Ok(false),
        Err(failure) => Err(failure.during("list routes")),
    }
}

fn add(socket: &mut Socket, request: &Request, action: &'static str) -> Result<(), HostError> {
    let outcome = unless(socket.request(request), &[libc::EEXIST]);
    outcome.map_err(|failure| failure.during(action))
}

fn remove(socket: &mut Socket, request: &Request, action: &'static str) -> Result<(), HostError> {
    let gone = [libc::ENOENT, libc::ESRCH, libc::ENODEV, libc::EADDRNOTAVAIL];
    let outcome = unless(socket.request(request), &gone);
    outcome.map_err(|failure| failure.during(action))
}
