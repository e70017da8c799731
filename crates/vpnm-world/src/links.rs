//! Links, addresses and routes of a host, by rtnetlink.
//!
//! Every function acts on the calling thread's network namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType};

use crate::delivery::await_delivery;
use crate::netlink::{CREATE, Message, Netlink, Request, attributes};
use crate::sys;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// `IFA_F_NODAD | IFA_F_PERMANENT`: usable at once.
const ADDRESS_FLAGS: u8 = 0x02 | 0x80;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_STATIC: u8 = 4;
const UNICAST: u8 = 1;
const SCOPE_LINK: u8 = 253;

const UP: u32 = 1;
/// `IF_OPER_UP`.
const OPERATIONAL: u8 = 6;
/// Looks at a link, 5 ms apart, before giving up on it.
const SETTLING: usize = 1_000;

/// One end of a virtual cable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End<'a> {
    pub(crate) name: &'a str,
    pub(crate) mac: Option<[u8; 6]>,
    /// The link's number. The kernel reports a cable at once as plugged in only
    /// if the numbers of its ends differ, which in separate namespaces is luck.
    pub(crate) index: u32,
}

/// Joins this namespace and `peer_namespace` by a virtual cable.
pub(crate) fn add_cable(
    here: End<'_>,
    peer: End<'_>,
    peer_namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut request = Request::new(RTM_NEWLINK, CREATE, &link_header(here.index, 0, 0));
    describe(&mut request, here);
    request.nested(IFLA_LINKINFO, |info| {
        info.attribute(IFLA_INFO_KIND, b"veth");
        info.nested(IFLA_INFO_DATA, |data| {
            data.nested(VETH_INFO_PEER, |end| {
                end.raw(&link_header(peer.index, 0, 0));
                describe(end, peer);
                end.attribute(IFLA_NET_NS_FD, &peer_namespace.as_raw_fd().to_ne_bytes());
            });
        });
    });
    Netlink::route()?.apply(&request)
}

fn describe(request: &mut Request, end: End<'_>) {
    request.attribute(IFLA_IFNAME, &name_bytes(end.name));
    if let Some(mac) = end.mac {
        request.attribute(IFLA_ADDRESS, &mac);
    }
}

/// Adds a link without a cable (`kind` is e.g. `dummy` or `bridge`).
pub fn add_link(name: &str, kind: &str) -> io::Result<()> {
    let mut request = Request::new(RTM_NEWLINK, CREATE, &link_header(0, 0, 0));
    request.attribute(IFLA_IFNAME, &name_bytes(name));
    request.nested(IFLA_LINKINFO, |info| {
        info.attribute(IFLA_INFO_KIND, kind.as_bytes());
    });
    Netlink::route()?.apply(&request)
}

/// Removes a link.
pub fn delete_link(name: &str) -> io::Result<()> {
    let request = Request::new(RTM_DELLINK, 0, &link_header(index(name)?, 0, 0));
    Netlink::route()?.apply(&request)
}

/// Switches a link on or off.
pub fn set_up(name: &str, up: bool) -> io::Result<()> {
    let flags = if up { UP } else { 0 };
    let request = Request::new(RTM_NEWLINK, 0, &link_header(index(name)?, flags, UP));
    Netlink::route()?.apply(&request)
}

/// The kernel's number of a link.
pub fn index(name: &str) -> io::Result<u32> {
    let link = find(name)?;
    let index = link
        .body
        .get(4..)
        .and_then(|rest| rest.first_chunk().copied());
    index.map(u32::from_ne_bytes).ok_or_else(missing)
}

/// Sends a whole frame by a link, as it is.
///
/// # Errors
///
/// Those of the packet socket; [`io::ErrorKind::NotFound`] without such a link.
pub fn send_frame(name: &str, frame: &[u8]) -> io::Result<()> {
    let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
    let socket = rustix::net::socket(family, kind, None)?;
    Ok(sys::send_frame(socket.as_fd(), index(name)?, frame)?)
}

/// An interface by which something can leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uplink {
    /// The kernel's number of it.
    pub(crate) index: u32,
    /// Its name of now.
    pub(crate) name: String,
}

/// The links of Ethernet that are up: tunnels and the loopback are none.
pub(crate) fn uplinks() -> io::Result<Vec<Uplink>> {
    let links = Netlink::route()?.dump(&Request::new(RTM_GETLINK, 0, &link_header(0, 0, 0)))?;
    Ok(links.iter().filter_map(uplink).collect())
}

fn uplink(link: &Message) -> Option<Uplink> {
    let kind = u16::from_ne_bytes(*link.body.get(2..)?.first_chunk()?);
    let index = u32::from_ne_bytes(*link.body.get(4..)?.first_chunk()?);
    let flags = u32::from_ne_bytes(*link.body.get(8..)?.first_chunk()?);
    (kind == libc::ARPHRD_ETHER && flags & UP != 0).then(|| {
        Some(Uplink {
            index,
            name: link_name(link)?,
        })
    })?
}

/// All IPv4 addresses, with the number of their link.
pub(crate) fn addresses_v4() -> io::Result<Vec<(u32, Ipv4Addr)>> {
    let request = Request::new(RTM_GETADDR, 0, &[2, 0, 0, 0, 0, 0, 0, 0]);
    let addresses = Netlink::route()?.dump(&request)?;
    Ok(addresses.iter().filter_map(address_v4).collect())
}

fn address_v4(address: &Message) -> Option<(u32, Ipv4Addr)> {
    let index = u32::from_ne_bytes(*address.body.get(4..)?.first_chunk()?);
    let all = attributes(address.body.get(8..)?);
    let (_, bytes) = all.iter().find(|(kind, _)| *kind == IFA_LOCAL)?;
    let octets: [u8; 4] = (*bytes).try_into().ok()?;
    Some((index, octets.into()))
}

/// Waits until a link is up, its cable included, and has its IPv6 link-local
/// address: the kernel takes a moment.
pub(crate) fn settle(name: &str) -> io::Result<()> {
    let index = index(name)?;
    for _ in 0..SETTLING {
        let link = find(name)?;
        let state = attributes(link.body.get(16..).unwrap_or_default())
            .into_iter()
            .find_map(|(kind, value)| (kind == IFLA_OPERSTATE).then(|| value.first().copied()));
        if state.flatten() == Some(OPERATIONAL) && has_link_local(index)? {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn has_link_local(index: u32) -> io::Result<bool> {
    let addresses =
        Netlink::route()?.dump(&Request::new(RTM_GETADDR, 0, &[10, 0, 0, 0, 0, 0, 0, 0]))?;
    Ok(addresses.iter().any(|address| {
        let (header, rest) = address.body.split_at_checked(8).unwrap_or_default();
        header.ends_with(&index.to_ne_bytes())
            && attributes(rest)
                .iter()
                .any(|(kind, value)| *kind == IFA_ADDRESS && value.starts_with(&[0xfe, 0x80]))
    }))
}

fn find(name: &str) -> io::Result<Message> {
    let links = Netlink::route()?.dump(&Request::new(RTM_GETLINK, 0, &link_header(0, 0, 0)))?;
    let named = |link: &Message| link_name(link).as_deref() == Some(name);
    links.into_iter().find(named).ok_or_else(missing)
}

fn missing() -> io::Error {
    io::Error::from_raw_os_error(libc::ENODEV)
}

fn link_name(message: &Message) -> Option<String> {
    let all = attributes(message.body.get(16..)?);
    let (_, name) = all.iter().find(|(kind, _)| *kind == IFLA_IFNAME)?;
    let text = name.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Gives a link an address, at which packets are taken when this returns.
pub fn add_address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    let request = address_request(RTM_NEWADDR, CREATE, name, address, prefix)?;
    Netlink::route()?.apply(&request)?;
    match address {
        IpAddr::V4(_) => Ok(()),
        IpAddr::V6(address) => await_delivery(address),
    }
}

/// Takes an address off a link.
pub fn delete_address(name: &str, address: IpAddr, prefix: u8) -> io::Result<()> {
    Netlink::route()?.apply(&address_request(RTM_DELADDR, 0, name, address, prefix)?)
}

fn address_request(
    kind: u16,
    flags: u16,
    name: &str,
    address: IpAddr,
    prefix: u8,
) -> io::Result<Request> {
    let bytes = address_bytes(address);
    let mut header = vec![family(address), prefix, ADDRESS_FLAGS, 0];
    header.extend_from_slice(&index(name)?.to_ne_bytes());
    let mut request = Request::new(kind, flags, &header);
    request
        .attribute(IFA_LOCAL, &bytes)
        .attribute(IFA_ADDRESS, &bytes);
    Ok(request)
}

/// Where packets of a route go.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Destination prefix; its family is the route's. An unspecified address
    /// with prefix 0 is the default route.
    pub destination: (IpAddr, u8),
    /// Next router, if the destination is not on the link.
    pub gateway: Option<IpAddr>,
    /// Link to leave by.
    pub link: Option<&'a str>,
    /// Metric; lower wins. `None` is the kernel's choice.
    pub metric: Option<u32>,
}

impl Route<'_> {
    /// The default route by `gateway`.
    #[must_use]
    pub fn default_by(gateway: IpAddr) -> Self {
        let any = match gateway {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        Self {
            destination: (any, 0),
            gateway: Some(gateway),
            link: None,
            metric: None,
        }
    }
}

/// Adds a route to the main table.
pub fn add_route(route: Route<'_>) -> io::Result<()> {
    Netlink::route()?.apply(&route_request(RTM_NEWROUTE, CREATE, route)?)
}

/// Removes a route from the main table.
pub fn delete_route(route: Route<'_>) -> io::Result<()> {
    Netlink::route()?.apply(&route_request(RTM_DELROUTE, 0, route)?)
}

fn route_request(kind: u16, flags: u16, route: Route<'_>) -> io::Result<Request> {
    let (destination, prefix) = route.destination;
    let scope = if route.gateway.is_none() && destination.is_ipv4() {
        SCOPE_LINK
    } else {
        0
    };
    let header = [
        family(destination),
        prefix,
        0,
        0,
        TABLE_MAIN,
        PROTOCOL_STATIC,
        scope,
        UNICAST,
        0,
        0,
        0,
        0,
    ];
    let mut request = Request::new(kind, flags, &header);
    if prefix > 0 {
        request.attribute(RTA_DST, &address_bytes(destination));
    }
    if let Some(gateway) = route.gateway {
        request.attribute(RTA_GATEWAY, &address_bytes(gateway));
    }
    if let Some(link) = route.link {
        request.attribute(RTA_OIF, &index(link)?.to_ne_bytes());
    }
    if let Some(metric) = route.metric {
        request.attribute(RTA_PRIORITY, &metric.to_ne_bytes());
    }
    Ok(request)
}

fn link_header(index: u32, flags: u32, change: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend_from_slice(&index.to_ne_bytes());
    header.extend_from_slice(&flags.to_ne_bytes());
    header.extend_from_slice(&change.to_ne_bytes());
    header
}

fn name_bytes(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
