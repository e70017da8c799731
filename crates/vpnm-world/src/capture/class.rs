//! Which frames may leave the client, and which are leaks. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::frame::{Frame, Packet, Segment, ipv6, parse};
use crate::addresses::{CLIENT, CLIENT_MAC, GATEWAY, GATEWAY_LINK_LOCAL, GATEWAY_MAC, Pair};
use crate::mark::{self, PROBE_PORTS};

/// The transport protocol of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A server the engine may speak with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Address and port.
    pub address: SocketAddr,
    /// By which protocol.
    pub protocol: Protocol,
    /// Whether the protocol hides what it carries: then a probe's marker seen
    /// on the way is a leak too.
    pub confidential: bool,
}

/// What may leave the client.
#[derive(Debug, Clone, Default)]
pub(super) struct Permitted {
    pub(super) endpoints: Vec<Endpoint>,
    /// Routers of the LAN beside the usual one.
    pub(super) gateways: Vec<Pair>,
}

impl Permitted {
    fn gateways(&self) -> impl Iterator<Item = Pair> + '_ {
        [GATEWAY].into_iter().chain(self.gateways.iter().copied())
    }
}

/// What a frame of the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Class {
    /// To a permitted endpoint.
    Tunnel,
    /// ARP and neighbour discovery with the gateway.
    Neighbour,
    /// DHCP.
    Dhcp,
    /// Anything else.
    Leak(String),
    /// Cannot be told: counts as a failure of the observer.
    Unknown,
}

/// A frame, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    pub(super) class: Class,
    /// To port 53, by whatever protocol.
    pub(super) plaintext_dns: bool,
    /// The probe it came from, if that shows.
    pub(super) marker: Option<String>,
}

/// Judges one frame of the client.
pub(super) fn judge(bytes: &[u8], permitted: &Permitted) -> Judgement {
    let marker = mark::find(bytes).map(str::to_owned);
    match parse(bytes) {
        Frame::Arp {
            request,
            sender,
            target,
        } => only(judge_arp(request, sender, target, permitted)),
        Frame::Ip(packet) => Judgement {
            class: judge_packet(&packet, permitted, marker.as_deref()),
            plaintext_dns: is_dns(&packet),
            marker,
        },
        Frame::Other(kind) => only(Class::Leak(format!("ethertype {kind:#06x}"))),
        Frame::Malformed => only(Class::Unknown),
    }
}

fn only(class: Class) -> Judgement {
    Judgement {
        class,
        plaintext_dns: false,
        marker: None,
    }
}

/// The client may ask for the gateway, announce itself, and answer for any
/// address it has on the LAN; not for the tunnel's.
fn judge_arp(request: bool, sender: Ipv4Addr, target: Ipv4Addr, permitted: &Permitted) -> Class {
    let fine = if request {
        target == sender || permitted.gateways().any(|gateway| gateway.v4 == target)
    } else {
        sender.octets().starts_with(&CLIENT.v4.octets()[..3])
    };
    if fine {
        Class::Neighbour
    } else if request {
        Class::Leak(format!("arp request {target}"))
    } else {
        Class::Leak(format!("arp reply {sender}"))
    }
}

fn judge_packet(packet: &Packet<'_>, permitted: &Permitted, marker: Option<&str>) -> Class {
    if let Segment::Icmp6 { kind, body } = packet.segment
        && is_neighbour_discovery(kind, body, permitted)
    {
        return Class::Neighbour;
    }
    if is_dhcp(packet) {
        return Class::Dhcp;
    }
    match permitted
        .endpoints
        .iter()
        .find(|endpoint| carries(packet, endpoint))
    {
        None => Class::Leak(describe(packet)),
        Some(_) if from_probe(packet) => Class::Leak(format!("{} by a probe", describe(packet))),
        Some(endpoint) if endpoint.confidential && marker.is_some() => {
            Class::Leak(format!("{} readable", describe(packet)))
        }
        Some(_) => Class::Tunnel,
    }
}

fn carries(packet: &Packet<'_>, endpoint: &Endpoint) -> bool {
    let port = match packet.segment {
        Segment::Tcp { destination, .. } if endpoint.protocol == Protocol::Tcp => destination,
        Segment::Udp { destination, .. } if endpoint.protocol == Protocol::Udp => destination,
        Segment::Tcp { .. }
        | Segment::Udp { .. }
        | Segment::Icmp
        | Segment::Icmp6 { .. }
        | Segment::Fragment
        | Segment::Other(_) => return false,
    };
    packet.destination == endpoint.address.ip() && port == endpoint.address.port()
}

fn from_probe(packet: &Packet<'_>) -> bool {
    match packet.segment {
        Segment::Tcp { source, .. } | Segment::Udp { source, .. } => PROBE_PORTS.contains(&source),
        Segment::Icmp | Segment::Icmp6 { .. } | Segment::Fragment | Segment::Other(_) => false,
    }
}

fn is_dns(packet: &Packet<'_>) -> bool {
    matches!(
        packet.segment,
        Segment::Tcp {
            destination: 53,
            ..
        } | Segment::Udp {
            destination: 53,
            ..
        }
    )
}

fn is_dhcp(packet: &Packet<'_>) -> bool {
    let Segment::Udp {
        source,
        destination,
    } = packet.segment
    else {
        return false;
    };
    match (source, destination, packet.destination) {
        (68, 67, IpAddr::V4(to)) => [Ipv4Addr::BROADCAST, GATEWAY.v4].contains(&to),
        (546, 547, IpAddr::V6(to)) => to == DHCP_SERVERS,
        _ => false,
    }
}

/// All DHCP relay agents and servers (RFC 8415, section 7.1).
const DHCP_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

const LISTENER_REPORT: u8 = 131;
const LISTENER_DONE: u8 = 132;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const LISTENER_REPORT_2: u8 = 143;

/// RFC 4861 with the gateway, and the RFC 3810 reports that snooping switches
/// need for it: those of solicited-node groups, no other.
fn is_neighbour_discovery(kind: u8, body: &[u8], permitted: &Permitted) -> bool {
    match kind {
        ROUTER_SOLICITATION => true,
        NEIGHBOUR_SOLICITATION => ipv6(body, 8).is_some_and(|target| {
            is_own(target)
                || [GATEWAY_LINK_LOCAL, link_local(GATEWAY_MAC)].contains(&target)
                || permitted.gateways().any(|gateway| gateway.v6 == target)
        }),
        NEIGHBOUR_ADVERTISEMENT => ipv6(body, 8).is_some_and(is_own),
        LISTENER_REPORT | LISTENER_DONE => ipv6(body, 8).is_some_and(is_solicited_node),
        LISTENER_REPORT_2 => report_groups(body)
            .is_some_and(|groups| groups.iter().all(|group| is_solicited_node(*group))),
        _ => false,
    }
}

fn is_own(address: Ipv6Addr) -> bool {
    [CLIENT.v6, link_local(CLIENT_MAC)].contains(&address)
}

fn is_solicited_node(group: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, _] = group.segments();
    [a, b, c, d, e, f, g >> 8] == [0xff02, 0, 0, 0, 0, 1, 0xff]
}

/// The groups of a version 2 listener report (RFC 3810, section 5.2).
fn report_groups(body: &[u8]) -> Option<Vec<Ipv6Addr>> {
    let count = u16::from_be_bytes(*body.get(6..)?.first_chunk()?);
    let mut records = body.get(8..)?;
    let mut groups = Vec::new();
    for _ in 0..count {
        let sources = usize::from(u16::from_be_bytes(*records.get(2..)?.first_chunk()?));
        let auxiliary = usize::from(*records.get(1)?);
        groups.push(ipv6(records, 4)?);
        records = records.get(20 + sources * 16 + auxiliary * 4..)?;
    }
    Some(groups)
}

/// The link-local address a kernel makes of a hardware address (RFC 4291,
/// appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from([
        0xfe,
        0x80,
        0,
        0,
        0,
        0,
        0,
        0,
        a ^ 2,
        b,
        c,
        0xff,
        0xfe,
        d,
        e,
        f,
    ])
}

fn describe(packet: &Packet<'_>) -> String {
    let to = packet.destination;
    match packet.segment {
        Segment::Tcp { destination, .. } => format!("tcp {}", SocketAddr::new(to, destination)),
        Segment::Udp { destination, .. } => format!("udp {}", SocketAddr::new(to, destination)),
        Segment::Icmp => format!("icmp {to}"),
        Segment::Icmp6 { kind, .. } => format!("icmp6 type {kind} {to}"),
        Segment::Fragment => format!("fragment {to}"),
        Segment::Other(number) => format!("protocol {number} {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::{NEIGHBOUR, NODE, SITE};

    fn packet(destination: IpAddr, segment: Segment<'static>) -> Packet<'static> {
        Packet {
            source: IpAddr::V4(CLIENT.v4),
            destination,
            segment,
        }
    }

    fn tcp(source: u16, destination: u16) -> Segment<'static> {
        Segment::Tcp {
            source,
            destination,
        }
    }

    fn node() -> Endpoint {
        Endpoint {
            address: SocketAddr::new(NODE.v4.into(), 443),
            protocol: Protocol::Tcp,
            confidential: true,
        }
    }

    fn only_node() -> Permitted {
        Permitted {
            endpoints: vec![node()],
            gateways: Vec::new(),
        }
    }

    #[test]
    fn only_the_endpoint_is_tunnel() {
        let judged = |to: IpAddr, segment| judge_packet(&packet(to, segment), &only_node(), None);
        assert_eq!(judged(NODE.v4.into(), tcp(40_000, 443)), Class::Tunnel);
        let leaks = [
            (NODE.v4.into(), tcp(40_000, 80)),
            (
                NODE.v4.into(),
                Segment::Udp {
                    source: 40_000,
                    destination: 443,
                },
            ),
            (NODE.v4.into(), Segment::Icmp),
            (SITE.v4.into(), tcp(40_000, 443)),
            (NODE.v4.into(), tcp(61_000, 443)),
        ];
        for (to, segment) in leaks {
            assert!(
                matches!(judged(to, segment), Class::Leak(_)),
                "{to} {segment:?}"
            );
        }
    }

    #[test]
    fn a_marker_in_a_confidential_tunnel_is_a_leak() {
        let packet = packet(NODE.v4.into(), tcp(40_000, 443));
        assert!(matches!(
            judge_packet(&packet, &only_node(), Some("udp")),
            Class::Leak(_)
        ));
        let open = Endpoint {
            confidential: false,
            ..node()
        };
        let open = Permitted {
            endpoints: vec![open],
            gateways: Vec::new(),
        };
        assert_eq!(judge_packet(&packet, &open, Some("udp")), Class::Tunnel);
    }

    #[test]
    fn arp_is_for_gateways_only() {
        let usual = Permitted::default();
        let both = Permitted {
            gateways: vec![NEIGHBOUR],
            ..Permitted::default()
        };
        let asked = |target, permitted| judge_arp(true, CLIENT.v4, target, permitted);
        assert_eq!(asked(GATEWAY.v4, &usual), Class::Neighbour);
        assert!(matches!(asked(NEIGHBOUR.v4, &usual), Class::Leak(_)));
        assert_eq!(asked(NEIGHBOUR.v4, &both), Class::Neighbour);
        let told = |sender| judge_arp(false, sender, GATEWAY.v4, &usual);
        assert_eq!(told(CLIENT.v4), Class::Neighbour);
        assert!(matches!(told(Ipv4Addr::new(198, 18, 0, 1)), Class::Leak(_)));
    }

    #[test]
    fn listener_reports_are_for_solicited_nodes_only() {
        let report = |group: Ipv6Addr| {
            let mut body = vec![143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
            body.extend_from_slice(&group.octets());
            is_neighbour_discovery(143, &body, &Permitted::default())
        };
        assert!(report("ff02::1:ff00:2".parse().expect("an address")));
        assert!(!report("ff02::fb".parse().expect("an address")));
    }

    #[test]
    fn dhcp_goes_to_everyone_or_the_gateway() {
        let dhcp = Segment::Udp {
            source: 68,
            destination: 67,
        };
        assert!(is_dhcp(&packet(Ipv4Addr::BROADCAST.into(), dhcp)));
        assert!(!is_dhcp(&packet(SITE.v4.into(), dhcp)));
    }
}
