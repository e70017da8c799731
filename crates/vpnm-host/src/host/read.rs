//! Reads the host.

use std::collections::BTreeSet;

use crate::error::HostError;
use crate::firewall::Capabilities;
use crate::kernel::KernelFacts;
use crate::names::ROUTE_TABLE;
use crate::netlink::{Failure, Protocol, Socket};
use crate::nft::{Read, TableFamily};
use crate::observed::Observed;
use crate::routing::families;
use crate::rtnl::{self, Family, MAIN_TABLE, Route, RouteKind};

pub(super) fn observe(
    route: &mut Socket,
    filter: &mut Socket,
    capabilities: Capabilities,
) -> Result<Observed, HostError> {
    let mut tables = Vec::new();
    for family in TableFamily::ALL {
        let table = Read::table(filter, family);
        tables.extend(table.map_err(|failure| failure.during("read the packet filter"))?);
    }
    Ok(Observed {
        capabilities,
        filter: tables,
        port: filter.port(),
        ..routing(route)?
    })
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
    let addresses = route
        .query(&rtnl::addresses(), rtnl::decode_address)
        .map_err(during("list addresses"))?;
    let mut rules = Vec::new();
    let mut routes = Vec::new();
    let mut uplinks = BTreeSet::new();
    for family in families(&kernel) {
        let list = route.query(&rtnl::rules(*family), rtnl::decode_rule);
        rules.extend(list.map_err(during("list routing rules"))?);
        let list = our_and_default_routes(route, *family, &mut uplinks);
        routes.extend(list.map_err(during("list routes"))?);
    }
    Ok(Observed {
        links,
        addresses,
        rules,
        routes,
        uplinks,
        kernel,
        capabilities: Capabilities {
            ownership: false,
            egress: false,
        },
        filter: Vec::new(),
        port: 0,
    })
}

/// The routes of our table, and of the main table the default routes only: a router
/// may have a million others. The links that routes of the main table leave by are
/// noted, if they lead to a gateway or are default routes.
fn our_and_default_routes(
    socket: &mut Socket,
    family: Family,
    uplinks: &mut BTreeSet<u32>,
) -> Result<Vec<Route>, Failure> {
    let mut list = Vec::new();
    for table in [ROUTE_TABLE, MAIN_TABLE] {
        let routes = socket.query(&rtnl::routes(family, table), |message| {
            let route = rtnl::decode_route(message)?;
            uplinks.extend(route.as_ref().and_then(uplink));
            let wanted = |route: &Route| route.table == ROUTE_TABLE || route.destination.is_any();
            // A kernel that does not filter lists every table each time.
            Ok(route.filter(|route| route.table == table && wanted(route)))
        });
        match routes {
            // A table without routes may not exist.
            Err(Failure::Kernel {
                errno: libc::ENOENT,
                ..
            }) => {}
            other => list.extend(other?),
        }
    }
    Ok(list)
}

/// The link by which a route of the main table leaves this host's own networks.
fn uplink(route: &Route) -> Option<u32> {
    let RouteKind::Link { link, gateway, .. } = route.kind else {
        return None;
    };
    let leads_out = gateway || route.destination.is_any();
    (route.table == MAIN_TABLE && leads_out).then_some(link)
}
