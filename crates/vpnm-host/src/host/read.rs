//! Reads the host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::error::HostError;
use crate::firewall::Capabilities;
use crate::kernel::KernelFacts;
use crate::names::{ROUTE_TABLE, TABLE};
use crate::netlink::{Failure, Protocol, Socket};
use crate::nft::{Place, Read, TableFamily};
use crate::observed::Observed;
use crate::routing::families;
use crate::rtnl::{self, Family, MAIN_TABLE, Route};

pub(super) fn observe(
    route: &mut Socket,
    filter: &mut Socket,
    capabilities: Capabilities,
) -> Result<Observed, HostError> {
    let tables = tables(filter, TABLE);
    let tables = tables.map_err(|failure| failure.during("read the packet filter"))?;
    Ok(Observed {
        capabilities,
        filter: tables,
        port: filter.port(),
        ..routing(route)?
    })
}

/// Reads the tables of a name, of every family.
pub(super) fn tables(filter: &mut Socket, table: &'static str) -> Result<Vec<Read>, Failure> {
    let mut tables = Vec::new();
    for family in TableFamily::ALL {
        tables.extend(Read::table(filter, Place { table, family })?);
    }
    Ok(tables)
}

/// Reads what any user may read: everything but the packet filter, as if there were
/// none.
///
/// # Errors
/// [`HostError`].
pub fn look() -> Result<Observed, HostError> {
    let socket = Socket::open(Protocol::Route, 0);
    routing(&mut socket.map_err(|failure| failure.during("open a netlink socket"))?)
}

/// Reads everything but the packet filter, as if there were none.
pub(super) fn routing(route: &mut Socket) -> Result<Observed, HostError> {
    let during = |action| move |failure: Failure| failure.during(action);
    let kernel = KernelFacts::read();
    let links = route
        .query(&rtnl::links(), rtnl::decode_link)
        .map_err(during("list network interfaces"))?;
    let mut uplinks = BTreeSet::new();
    let addresses = route
        .query(&rtnl::addresses(), |message| {
            uplinks.extend(rtnl::temporary(message)?);
            rtnl::decode_address(message)
        })
        .map_err(during("list addresses"))?;
    let mut rules = Vec::new();
    let mut routes = Vec::new();
    let mut delivered = BTreeSet::new();
    for family in families(&kernel) {
        let list = route.query(&rtnl::rules(*family), rtnl::decode_rule);
        rules.extend(list.map_err(during("list routing rules"))?);
        let list = our_and_default_routes(route, *family, &mut uplinks, &mut delivered);
        routes.extend(list.map_err(during("list routes"))?);
    }
    Ok(Observed {
        links,
        addresses,
        delivered,
        rules,
        routes,
        uplinks,
        former: Vec::new(),
        kernel,
        capabilities: Capabilities {
            ownership: false,
            holding: false,
            egress: false,
            devices: false,
            absent: false,
        },
        filter: Vec::new(),
        port: 0,
        answer_mark: 0,
    })
}

/// The routes of our table, and of the main table the default routes only: a router
/// may have a million others. The links by which routes of others lead out are noted,
/// and the addresses whose packets are delivered here.
fn our_and_default_routes(
    socket: &mut Socket,
    family: Family,
    uplinks: &mut BTreeSet<u32>,
    delivered: &mut BTreeSet<IpAddr>,
) -> Result<Vec<Route>, Failure> {
    let wanted = |route: &Route| {
        let main = route.table == MAIN_TABLE && route.destination.is_any();
        route.table == ROUTE_TABLE || main
    };
    let mut routes = socket.query(&rtnl::routes(family), |message| {
        uplinks.extend(rtnl::ways_out(message)?);
        let route = rtnl::decode_route(message)?;
        delivered.extend(route.as_ref().and_then(Route::delivers_to));
        Ok(route.filter(wanted))
    })?;
    // Ours first: the order of tables in a dump is the kernel's.
    routes.sort_by_key(|route| route.table != ROUTE_TABLE);
    Ok(routes)
}
