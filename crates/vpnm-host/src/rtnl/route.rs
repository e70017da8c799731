//! Routes.

use std::fmt;

use super::{Family, Prefix, address_from, kind, octets};
use crate::names::PROTOCOL;
use crate::netlink::{Attributes, Failure, Message, Request, Writer};

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_METRICS: u16 = 8;
const RTA_TABLE: u16 = 15;
const RTAX_CC_ALGO: u16 = 16;

const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNSPEC: u8 = 0;
const RTN_UNICAST: u8 = 1;
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

/// Asks for the routes of a table, or of all tables on kernels that do not filter.
pub(crate) fn routes(family: Family, table: u32) -> Request {
    let mut body = Writer::new(&[family.number(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    body.native(RTA_TABLE, table);
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
    use crate::names::ROUTE_TABLE;
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
