//! Somebody changes routes, addresses or interfaces.

use std::time::Duration;

use vpnm_world::probe::Kind;

use super::{PLAIN, RAISE_ETH0, UP};
use crate::scenario::Step::{
    Advertise, Client, EndPrograms, Expect, OtherGateway, Probe, Programs, Router, RouterPrograms,
    Start, StartRouter, Wait,
};
use crate::scenario::{Row, Step, Turns};

/// Every kind but frames of root's packet sockets.
const NO_FRAMES: &[Kind] = {
    let [kinds @ .., Kind::Packet, Kind::PacketBypass] = &Kind::ALL else {
        panic!("frames come last");
    };
    kinds
};

const BETTER: Step = Client(
    "ip route replace default via 192.168.77.9 && \
     ip -6 route add default via 2001:db8:77::9 metric 1",
);
const NOT_BETTER: Step = Client(
    "ip route replace default via 192.168.77.1 proto static && \
     ip -6 route del default via 2001:db8:77::9 metric 1",
);

const SPECIFIC: Step = Client(
    "for p in 0.0.0.0/1 128.0.0.0/1 198.51.100.80/32 8.8.8.8/32; do \
     ip route add $p via 192.168.77.9 || exit 1; done",
);
const NOT_SPECIFIC: Step = Client(
    "for p in 0.0.0.0/1 128.0.0.0/1 198.51.100.80/32 8.8.8.8/32; do \
     ip route del $p || exit 1; done",
);
const SPECIFIC_V6: Step = Client(
    "for p in ::/1 8000::/1 2001:db8:100::80/128; do \
     ip -6 route add $p via 2001:db8:77::9 || exit 1; done",
);
const NOT_SPECIFIC_V6: Step =
    Client("for p in ::/1 8000::/1 2001:db8:100::80/128; do ip -6 route del $p || exit 1; done");

const PUBLIC_PREFIX: Step = Client(
    "ip addr add 198.51.100.77/24 dev eth0 && \
     ip -6 addr add 2001:db8:100::77/64 dev eth0 nodad",
);
const NO_PUBLIC_PREFIX: Step =
    Client("ip addr del 198.51.100.77/24 dev eth0 && ip -6 addr del 2001:db8:100::77/64 dev eth0");

const TO_SERVER: Step = Client("ip route add 203.0.113.10 via 192.168.77.1");
const NOT_TO_SERVER: Step = Client("ip route del 203.0.113.10");

const NOT_ADVERTISED: Step = Client("ip -6 route flush proto ra");

pub(super) const ROWS: &[Row] = &[
    Row {
        number: 11,
        name: "default routes without metric",
        before: &[OtherGateway],
        attack: &[BETTER],
        undo: &[NOT_BETTER],
        turns: Some(Turns {
            off: &[NOT_BETTER],
            on: &[BETTER],
        }),
        ..PLAIN
    },
    Row {
        number: 12,
        name: "more specific routes from DHCP (TunnelVision)",
        before: &[OtherGateway],
        attack: &[SPECIFIC, SPECIFIC_V6],
        undo: &[NOT_SPECIFIC, NOT_SPECIFIC_V6],
        turns: Some(Turns {
            off: &[NOT_SPECIFIC, NOT_SPECIFIC_V6],
            on: &[SPECIFIC, SPECIFIC_V6],
        }),
        ..PLAIN
    },
    Row {
        number: 12,
        name: "the same by option 121 of a real DHCP server",
        before: &[
            OtherGateway,
            Programs,
            RouterPrograms,
            StartRouter(
                "mkdir -p /var/lib/dhcp && touch /var/lib/dhcp/dhcpd.leases && \
                 printf '%s\n' 'option classless code 121 = array of integer 8;' \
                 'subnet 192.168.77.0 netmask 255.255.255.0 {' \
                 ' option classless 0, 192,168,77,9, 1, 0, 192,168,77,9, 1, 128, 192,168,77,9, \
                   32, 198,51,100,80, 192,168,77,9, 32, 8,8,8,8, 192,168,77,9;' \
                 ' option routers 192.168.77.9; option domain-name-servers 192.168.77.1, 8.8.8.8; }' \
                 'host client { hardware ethernet 02:00:00:00:77:02; fixed-address 192.168.77.2; }' \
                 > /run/dhcpd.conf && exec dhcpd -4 -f -q -cf /run/dhcpd.conf -pf /run/dhcpd.pid lan0 \
                 2>/run/dhcpd.log",
            ),
        ],
        attack: &[
            Client("cp /etc/resolv.conf /run/resolv.saved"),
            // In the foreground: it ends with the row, however that ends.
            Start(
                "mkdir -p /var/lib/dhcp && exec dhclient -4 -1 -d -v -pf /run/dhclient.pid \
                 -lf /run/dhclient.leases eth0 2>/run/dhclient.log",
            ),
            Client(
                "for n in $(seq 300); do \
                 ip route show | grep -q '^8.8.8.8 via 192.168.77.9' && exit 0; sleep 0.1; done; \
                 tail -n 5 /run/dhclient.log; exit 1",
            ),
            Client("ip route show | grep -q '128.0.0.0/1 via 192.168.77.9'"),
            Probe,
            Expect(UP),
        ],
        undo: &[
            EndPrograms,
            Client(
                "ip route flush table main; \
                ip addr flush dev eth0 scope global; ip addr add 192.168.77.2/24 dev eth0 && \
                ip route add default via 192.168.77.1 proto static && \
                ip -6 addr add 2001:db8:77::2/64 dev eth0 nodad; \
                ip -6 route replace default via 2001:db8:77::1 proto static; \
                cat /run/resolv.saved > /etc/resolv.conf",
            ),
        ],
        turns: Some(Turns {
            off: &[NOT_SPECIFIC],
            on: &[SPECIFIC],
        }),
        ..PLAIN
    },
    Row {
        number: 13,
        name: "a public prefix on the link (LocalNet)",
        attack: &[PUBLIC_PREFIX],
        undo: &[NO_PUBLIC_PREFIX],
        turns: Some(Turns {
            off: &[NO_PUBLIC_PREFIX],
            on: &[PUBLIC_PREFIX],
        }),
        ..PLAIN
    },
    Row {
        number: 14,
        name: "a host route to the server (ServerIP)",
        focus: &[
            Kind::ServerOtherPort,
            Kind::ServerUdp,
            Kind::ServerSamePort,
            Kind::Tcp,
        ],
        attack: &[Probe, TO_SERVER, Probe],
        undo: &[NOT_TO_SERVER],
        turns: Some(Turns {
            off: &[NOT_TO_SERVER],
            on: &[TO_SERVER],
        }),
        ..PLAIN
    },
    Row {
        number: 15,
        name: "router advertisement with default and specific routes",
        before: &[Client(
            "echo 128 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen",
        )],
        attack: &[Advertise, Probe, Advertise],
        undo: &[
            NOT_ADVERTISED,
            Client("echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen"),
        ],
        turns: Some(Turns {
            off: &[NOT_ADVERTISED],
            on: &[Advertise],
        }),
        ..PLAIN
    },
    Row {
        number: 16,
        name: "one family's default lost, then the other's",
        attack: &[
            Client("ip -6 route del default"),
            Probe,
            Client(
                "ip -6 route add default via 2001:db8:77::1 proto static && ip route del default",
            ),
            Wait(Duration::from_secs(2)),
            Client("ip route add default via 192.168.77.1 proto static"),
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 17,
        name: "routing rules flushed",
        attack: &[
            Client(
                "ip rule flush; ip -6 rule flush; \
                 ip rule add pref 32766 lookup main protocol kernel; \
                 ip rule add pref 32767 lookup default protocol kernel; \
                 ip -6 rule add pref 32766 lookup main protocol kernel",
            ),
            Probe,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 20,
        name: "another program's rule before ours",
        before: &[OtherGateway],
        attack: &[Client(
            "ip route add default via 192.168.77.9 dev eth0 onlink table 99 && \
             ip rule add pref 100 lookup 99 && \
             ip -6 route add default via 2001:db8:77::9 dev eth0 onlink table 99 && \
             ip -6 rule add pref 100 lookup 99",
        )],
        undo: &[Client(
            "ip rule del pref 100 && ip -6 rule del pref 100 && \
             ip route flush table 99 && ip -6 route flush table 99",
        )],
        ..PLAIN
    },
    Row {
        number: 21,
        name: "a new interface with a better default",
        attack: &[Client(
            "ip link add link eth0 name eth1 type macvlan mode bridge && \
             ip addr add 192.168.77.50/24 dev eth1 && ip link set eth1 up && \
             ip route add 0.0.0.0/1 via 192.168.77.1 dev eth1 onlink && \
             ip route add 128.0.0.0/1 via 192.168.77.1 dev eth1 onlink",
        )],
        // Both interfaces answered for both addresses; one answer is wrong now.
        undo: &[
            Client("ip link del eth1"),
            Router("ip neigh flush dev lan0"),
        ],
        ..PLAIN
    },
    Row {
        number: 22,
        name: "the interface goes down and comes back",
        attack: &[
            Client("ip link set eth0 down"),
            Client(RAISE_ETH0),
            Probe,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 21,
        name: "the interface renamed",
        // Frames of root's packet sockets pass until the filter knows the new name.
        only: NO_FRAMES,
        attack: &[
            Client(
                "ip link set eth0 down && ip link set eth0 name wan0 && ip link set wan0 up && \
                ip route add default via 192.168.77.1 proto static && \
                ip -6 addr add 2001:db8:77::2/64 dev wan0 nodad && \
                ip -6 route add default via 2001:db8:77::1 proto static",
            ),
            Probe,
            Expect(UP),
        ],
        undo: &[
            Client("ip link set wan0 down && ip link set wan0 name eth0"),
            Client(RAISE_ETH0),
        ],
        ..PLAIN
    },
    Row {
        number: 21,
        name: "the interface becomes a port of a bridge",
        attack: &[
            Client(
                "ip link add br0 address 02:00:00:00:77:02 type bridge && ip link set br0 up && \
                ip addr flush dev eth0 && ip link set eth0 master br0 && \
                ip addr add 192.168.77.2/24 dev br0 && \
                ip -6 addr add 2001:db8:77::2/64 dev br0 nodad && \
                ip route replace default via 192.168.77.1 proto static && \
                ip -6 route replace default via 2001:db8:77::1 proto static",
            ),
            Probe,
            Expect(UP),
        ],
        undo: &[
            Client(
                "ip link set eth0 nomaster && ip link del br0 && ip link set eth0 down && \
                ip addr add 192.168.77.2/24 dev eth0",
            ),
            Client(RAISE_ETH0),
        ],
        ..PLAIN
    },
    Row {
        number: 21,
        name: "an interface without an end takes half of the world each",
        attack: &[
            Client(
                "ip tuntap add tun9 mode tun && ip link set tun9 up && \
                ip addr add 10.9.0.2/24 dev tun9 && \
                ip route add 0.0.0.0/1 dev tun9 && ip route add 128.0.0.0/1 dev tun9",
            ),
            Probe,
        ],
        undo: &[Client("ip link del tun9")],
        ..PLAIN
    },
    Row {
        number: 22,
        name: "another address, then another router",
        before: &[OtherGateway],
        attack: &[
            Client(
                "ip addr del 192.168.77.2/24 dev eth0 && ip addr add 192.168.77.3/24 dev eth0 && \
                 ip route replace default via 192.168.77.1 proto static",
            ),
            Expect(UP),
            Client(
                "ip route replace default via 192.168.77.9 proto static && \
                ip -6 route replace default via 2001:db8:77::9 proto static",
            ),
            Expect(UP),
        ],
        undo: &[Client(
            "ip addr flush dev eth0 scope global; ip addr add 192.168.77.2/24 dev eth0; \
             ip route replace default via 192.168.77.1 proto static; \
             ip -6 addr add 2001:db8:77::2/64 dev eth0 nodad; \
             ip -6 route replace default via 2001:db8:77::1 proto static",
        )],
        ..PLAIN
    },
];
