//! Programs ask for the way out themselves.

use vpnm_world::User;
use vpnm_world::probe::Kind;

use super::PLAIN;
use crate::scenario::Row;
use crate::scenario::Step::{DropFlows, KillEngine, OpenFlows, Probe, Router, WriteFlows};

/// Every kind but TCP to the server's own port.
#[expect(
    clippy::indexing_slicing,
    reason = "the compiler evaluates it: an index out of bounds does not build"
)]
const OF_ENGINE: [Kind; Kind::ALL.len() - 1] = {
    let mut kinds = [Kind::Udp; Kind::ALL.len() - 1];
    let (mut from, mut to) = (0, 0);
    while from < Kind::ALL.len() {
        if !matches!(Kind::ALL[from], Kind::ServerSamePort) {
            kinds[to] = Kind::ALL[from];
            to += 1;
        }
        from += 1;
    }
    kinds
};

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 23,
        name: "sockets tied to the interface",
        focus: &[
            Kind::BoundUdp,
            Kind::BoundTcp,
            Kind::BoundUdp6,
            Kind::BoundDns,
        ],
        ..PLAIN
    },
    Row {
        number: 24,
        name: "sockets that ask for the interface or its address",
        focus: &[
            Kind::UnicastIf,
            Kind::UnicastIf6,
            Kind::UnicastIfDns,
            Kind::SourceUdp,
            Kind::SourceTcp,
        ],
        ..PLAIN
    },
    Row {
        number: 25,
        name: "frames from a packet socket",
        focus: &[Kind::Packet, Kind::PacketBypass],
        ..PLAIN
    },
    Row {
        number: 26,
        name: "connections from before the tunnel",
        before: &[OpenFlows],
        attack: &[WriteFlows, WriteFlows, KillEngine, WriteFlows],
        ..PLAIN
    },
    Row {
        number: 27,
        name: "connections from before the tunnel, orphaned",
        before: &[OpenFlows],
        attack: &[WriteFlows, DropFlows, KillEngine, Probe],
        ..PLAIN
    },
    Row {
        number: 29,
        name: "a program with the data plane's user id",
        user: User::Engine,
        // The server's own port is what this user may reach.
        only: &OF_ENGINE,
        ..PLAIN
    },
    Row {
        number: 30,
        name: "DNS to everybody by every way",
        focus: &[
            Kind::DnsUdp,
            Kind::DnsTcp,
            Kind::Dns6Udp,
            Kind::DnsLanUdp,
            Kind::DnsLanTcp,
            Kind::Dns6LanUdp,
            Kind::DnsLinkLocal,
            Kind::DnsStub,
            Kind::Dot,
            Kind::DotLan,
            Kind::BoundDns,
            Kind::UnicastIfDns,
            Kind::Mdns,
            Kind::Mdns6,
            Kind::Llmnr,
            Kind::Netbios,
        ],
        ..PLAIN
    },
    Row {
        number: 38,
        name: "fragments, and a narrow way to the server",
        focus: &[Kind::LargeUdp],
        attack: &[
            Probe,
            Router("ip link set node0 mtu 1280"),
            Probe,
            Router("ip link set node0 mtu 1500"),
        ],
        ..PLAIN
    },
    Row {
        number: 39,
        name: "multicast, group membership and the LAN",
        focus: &[
            Kind::Mdns,
            Kind::Mdns6,
            Kind::Llmnr,
            Kind::Netbios,
            Kind::Join,
            Kind::Join6,
            Kind::LanUdp,
            Kind::LanTcp,
            Kind::Lan6,
        ],
        ..PLAIN
    },
    Row {
        number: 43,
        name: "programs of root, with every socket option",
        user: User::Root,
        focus: &[Kind::DontRoute],
        ..PLAIN
    },
];
