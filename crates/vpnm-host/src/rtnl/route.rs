//! Routes.

use std::fmt;
use std::net::IpAddr;

use super::{Family, LOCAL_TABLE, Prefix, address_from, kind, octets};
use crate::names::{PROTOCOL, ROUTE_TABLE};
use crate::netlink::{Attributes, Failure, Message, Request, Writer};

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_METRICS: u16 = 8;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTAX_CC_ALGO: u16 = 16;
const RTA_VIA: u16 = 18;
const RTA_NH_ID: u16 = 30;

const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNSPEC: u8 = 0;
const RTN_UNICAST: u8 = 1;
const RTN_LOCAL: u8 = 2;
const RTN_UNREACHABLE: u8 = 7;
/// Cached routes and the like, which no table holds.
const RTM_F_CLONED: u32 = 0x200;

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// The table that holds it.
    pub table: u32,
    /// What it covers.
    pub destination: Prefix,
    /// The lower, the sooner it is taken.
    pub metric: u32,
    /// Where it leads.
    pub kind: RouteKind,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// Out of a link.
    Link {
        /// The link's number.
        link: u32,
        /// Whether by way of a gateway.
        gateway: bool,
        /// The congestion control of the TCP connections that use it.
        congestion: Option<String>,
    },
    /// Nowhere: programs get an error at once.
    Unreachable,
    /// A type of route this crate never makes.
    Other(u8),
}

impl Route {
    /// The address of this host whose packets it delivers to programs here.
    pub(crate) fn delivers_to(&self) -> Option<IpAddr> {
        let ip = self.destination.ip;
        let is_local = self.table == LOCAL_TABLE && self.kind == RouteKind::Other(RTN_LOCAL);
        (is_local && self.destination == Prefix::host(ip)).then_some(ip)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = self.destination.family();
        write!(f, "route {family} ")?;
        match &self.kind {
            RouteKind::Unreachable => f.write_str("unreachable ")?,
            RouteKind::Other(number) => write!(f, "type {number} ")?,
            RouteKind::Link { .. } => {}
        }
        write!(f, "{}", self.destination)?;
        if let RouteKind::Link {
            link,
            gateway,
            congestion,
        } = &self.kind
        {
            if *gateway {
                f.write_str(" via gateway")?;
            }
            write!(f, " dev #{link}")?;
            if let Some(congestion) = congestion {
                write!(f, " congctl {congestion}")?;
            }
        }
        write!(f, " metric {} table {}", self.metric, self.table)
    }
}

/// Asks for the routes of all tables.
pub(crate) fn routes(family: Family) -> Request {
    let body = Writer::new(&[family.number(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    Request::dump(kind::GET_ROUTE, body)
}

/// Asks for the routes of one table that lead into a link. A kernel that cannot leave the
/// others out shows all.
pub(crate) fn routes_into(link: u32, family: Family, table: u32) -> Request {
    let mut body = Writer::new(&[family.number(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.native(RTA_TABLE, table);
    body.native(RTA_OIF, link);
    Request::dump(kind::GET_ROUTE, body)
}

/// Adds a route, or puts it in the place of the one with the same destination and metric.
pub(crate) fn add_route(route: &Route) -> Request {
    Request::replace(kind::NEW_ROUTE, body(route, true))
}

/// Removes a route.
pub(crate) fn remove_route(route: &Route) -> Request {
    Request::new(kind::DEL_ROUTE, body(route, false))
}

/// The body of a request; a removal names only what tells routes apart, so that it
/// also fits a route somebody else has put there.
fn body(route: &Route, whole: bool) -> Writer {
    let number = match &route.kind {
        RouteKind::Link { .. } => RTN_UNICAST,
        RouteKind::Unreachable => RTN_UNREACHABLE,
        RouteKind::Other(number) => *number,
    };
    // Global also where there is no gateway: a route of link scope would make the
    // kernel believe that every gateway is on the tunnel link.
    let scope = if whole {
        RT_SCOPE_UNIVERSE
    } else {
        RT_SCOPE_NOWHERE
    };
    let (kind, protocol) = if whole {
        (number, PROTOCOL)
    } else {
        (RTN_UNSPEC, 0)
    };
    let family = route.destination.family().number();
    let length = route.destination.length;
    let mut body = Writer::new(&[family, length, 0, 0, 0, protocol, scope, kind, 0, 0, 0, 0]);
    body.native(RTA_TABLE, route.table);
    body.native(RTA_PRIORITY, route.metric);
    if !route.destination.is_any() {
        body.bytes(RTA_DST, &octets(route.destination.ip));
    }
    if let RouteKind::Link {
        link, congestion, ..
    } = &route.kind
    {
        body.native(RTA_OIF, *link);
        if let (true, Some(congestion)) = (whole, congestion) {
            body.nested(RTA_METRICS, |metrics| {
                metrics.text(RTAX_CC_ALGO, congestion);
            });
        }
    }
    body
}

/// Reads a route from a dump or an event.
pub(crate) fn decode_route(message: &Message<'_>) -> Result<Option<Route>, Failure> {
    if message.kind != kind::NEW_ROUTE && message.kind != kind::DEL_ROUTE {
        return Ok(None);
    }
    let (header, attributes) = message.body.split::<12>()?;
    let [family, length, _, _, table, _, _, number, f0, f1, f2, f3] = header;
    let Some(family) = Family::from_number(family) else {
        return Ok(None);
    };
    if u32::from_ne_bytes([f0, f1, f2, f3]) & RTM_F_CLONED != 0 {
        return Ok(None);
    }
    let destination = match attributes.get(RTA_DST) {
        Some(bytes) => Prefix::new(address_from(bytes).ok_or(Failure::Malformed)?, length),
        None => family.any(),
    };
    Ok(Some(Route {
        table: attributes.native(RTA_TABLE).unwrap_or_else(|| table.into()),
        destination,
        metric: attributes.native(RTA_PRIORITY).unwrap_or_default(),
        kind: decode_kind(number, &attributes)?,
    }))
}

/// The links by which a route of others, of whichever table, leads to a gateway or to
/// everywhere; 0 stands for one whose link the kernel does not name.
pub(crate) fn ways_out(message: &Message<'_>) -> Result<Vec<u32>, Failure> {
    let Some(route) = decode_route(message)? else {
        return Ok(Vec::new());
    };
    let RouteKind::Link { link, gateway, .. } = route.kind else {
        return Ok(Vec::new());
    };
    if route.table == ROUTE_TABLE {
        return Ok(Vec::new());
    }
    let (_, attributes) = message.body.split::<12>()?;
    if let Some(hops) = attributes.get(RTA_MULTIPATH) {
        return next_hops(hops);
    }
    // A next hop of its own may be a gateway, which is not said here.
    let indirect =
        gateway || attributes.get(RTA_VIA).is_some() || attributes.get(RTA_NH_ID).is_some();
    let leads_out = indirect || route.destination.is_any();
    Ok(if leads_out { vec![link] } else { Vec::new() })
}

/// The links of a route that has several ways (`struct rtnexthop`, one behind the
/// other).
fn next_hops(mut bytes: &[u8]) -> Result<Vec<u32>, Failure> {
    let mut links = Vec::new();
    while let Some((&[l0, l1, _, _, i0, i1, i2, i3], _)) = bytes.split_first_chunk::<8>() {
        links.push(u32::from_ne_bytes([i0, i1, i2, i3]));
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        if length < 8 {
            return Err(Failure::Malformed);
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(links)
}

fn decode_kind(number: u8, attributes: &Attributes<'_>) -> Result<RouteKind, Failure> {
    Ok(match number {
        RTN_UNREACHABLE => RouteKind::Unreachable,
        RTN_UNICAST => RouteKind::Link {
            link: attributes.native(RTA_OIF).unwrap_or_default(),
            gateway: attributes.get(RTA_GATEWAY).is_some(),
            congestion: match attributes.nested(RTA_METRICS)? {
                Some(metrics) => metrics.text(RTAX_CC_ALGO),
                None => None,
            },
        },
        other => RouteKind::Other(other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    #[test]
    fn a_route_is_read_back_as_written() {
        let kinds = [
            RouteKind::Unreachable,
            RouteKind::Link {
                link: 3,
                gateway: false,
                congestion: Some("cubic".to_owned()),
            },
        ];
        for family in Family::BOTH {
            for kind in &kinds {
                let route = Route {
                    table: ROUTE_TABLE,
                    destination: family.any(),
                    metric: u32::MAX,
                    kind: kind.clone(),
                };
                let mut bytes = Vec::new();
                add_route(&route).encode(1, &mut bytes);
                let list = messages(&bytes).unwrap();
                assert_eq!(decode_route(&list[0]).unwrap(), Some(route));
            }
        }
    }

    /// The links that a route of others leads out by, as the kernel shows it.
    fn leads_out(table: u32, destination: Prefix, fill: impl FnOnce(&mut Writer)) -> Vec<u32> {
        let route = Route {
            table,
            destination,
            metric: 0,
            kind: RouteKind::Link {
                link: 0,
                gateway: false,
                congestion: None,
            },
        };
        let mut writer = body(&route, true);
        fill(&mut writer);
        let mut bytes = Vec::new();
        Request::new(kind::NEW_ROUTE, writer).encode(1, &mut bytes);
        ways_out(&messages(&bytes).unwrap()[0]).unwrap()
    }

    #[test]
    fn every_gateway_makes_a_way_out_whatever_the_table_and_the_form() {
        let near = Prefix::new("192.168.77.0".parse().unwrap(), 24);
        let any = Family::V4.any();
        let gateway = |w: &mut Writer| w.bytes(RTA_GATEWAY, &[192, 168, 77, 1]);
        assert_eq!(leads_out(254, near, |_| {}), []);
        for table in [254, 99] {
            assert_eq!(leads_out(table, any, |_| {}), [0]);
            assert_eq!(leads_out(table, near, gateway), [0]);
        }
        assert_eq!(leads_out(ROUTE_TABLE, any, gateway), []);
        let via = |w: &mut Writer| w.bytes(RTA_VIA, &[10, 0, 0xfe, 0x80]);
        assert_eq!(leads_out(254, near, via), [0]);
        assert_eq!(leads_out(254, near, |w| w.native(RTA_NH_ID, 7)), [0]);
        let hop = |index: u32, more: &[u8]| {
            let length = u16::try_from(8 + more.len()).unwrap().to_ne_bytes();
            [&length[..], &[0, 0], &index.to_ne_bytes(), more].concat()
        };
        let hops = [hop(3, &[8, 0, 5, 0, 192, 168, 77, 1]), hop(5, &[])].concat();
        assert_eq!(
            leads_out(254, near, |w| w.bytes(RTA_MULTIPATH, &hops)),
            [3, 5]
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_backstop_is_the_message_ip_route_sends() {
        let route = Route {
            table: ROUTE_TABLE,
            destination: Family::V4.any(),
            metric: u32::MAX,
            kind: RouteKind::Unreachable,
        };
        let mut bytes = Vec::new();
        add_route(&route).encode(0, &mut bytes);
        let golden = "2c000000 1800 0505 00000000 00000000 \
            02 00 00 00 00 76 00 07 00000000 \
            0800 0f00 f61d0000 0800 0600 ffffffff";
        let golden: String = golden.split_whitespace().collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
    }
}
