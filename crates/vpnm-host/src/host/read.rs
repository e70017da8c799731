//! Reads the host.

use crate::error::HostError;
use crate::firewall::Capabilities;
use crate::kernel::KernelFacts;
use crate::names::ROUTE_TABLE;
use crate::netlink::{Failure, Socket};
use crate::nft::{Read, TableFamily};
use crate::observed::Observed;
use crate::routing::families;
use crate::rtnl::{self, Family, MAIN_TABLE, Route};

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
    for family in families(&kernel) {
        let list = route.query(&rtnl::rules(*family), rtnl::decode_rule);
        rules.extend(list.map_err(during("list routing rules"))?);
        let list = our_and_default_routes(route, *family);
        routes.extend(list.map_err(during("list routes"))?);
    }
    Ok(Observed {
        links,
        addresses,
        rules,
        routes,
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
/// may have a million others.
fn our_and_default_routes(socket: &mut Socket, family: Family) -> Result<Vec<Route>, Failure> {
    let mut list = Vec::new();
    for table in [ROUTE_TABLE, MAIN_TABLE] {
        let routes = socket.query(&rtnl::routes(family, table), |message| {
            let route = rtnl::decode_route(message)?;
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
