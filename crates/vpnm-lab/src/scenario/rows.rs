//! The matrix. Where a row attacks by routes, the attacker is the LAN's other
//! device, 192.168.77.9 and 2001:db8:77::9.

use std::time::Duration;

use vpnm_world::User;
use vpnm_world::probe::Kind;

use super::Step::{
    Advertise, ByName, Client, ContinueDaemon, ContinueEngine, DropFlows, EndDaemon, EndNode,
    Expect, KillDaemon, KillEngine, OpenFlows, OtherGateway, Probe, Router, StartDaemon,
    StopDaemon, StopEngine, Switch, Wait, WriteFlows,
};
use super::{Aftermath, Row, Step};
use crate::report::NotRun;

/// A row that differs from this only in what it says.
const PLAIN: Row = Row {
    number: 0,
    name: "",
    user: User::Mallory,
    kinds: &[],
    before: &[],
    attack: &[Probe],
    undo: &[],
    aftermath: Aftermath::Connected,
};

const UP: &[&str] = &["connected"];

/// An interface that went down has lost its routes and IPv6 addresses.
const RAISE_ETH0: &str = "ip link set eth0 up && \
    ip route add default via 192.168.77.1 proto static && \
    ip -6 addr add 2001:db8:77::2/64 dev eth0 nodad && \
    ip -6 route add default via 2001:db8:77::1 proto static";

/// Datagrams from the container: to the site, to public and to LAN resolvers.
const BOX_PROBES: Step = Client(
    "ip netns exec box bash -c 'for i in {1..400}; do \
     for to in 198.51.100.80/9 8.8.8.8/53 192.168.77.1/53 192.168.77.9/9; do \
     echo vpnm-probe-container~ > /dev/udp/$to; done; done' 2>/dev/null; true",
);

/// Scenarios that are not run, and why.
pub const NOT_RUN: &[NotRun] = &[
    not_run(
        5,
        "killed between any two steps",
        "is the daemon's own test: cargo test -p vpnm-daemon --test life",
    ),
    not_run(
        9,
        "early boot",
        "needs a boot; the unit itself is checked by systemd-analyze",
    ),
    not_run(
        19,
        "firewalld, docker or iptables reloaded",
        "needs their daemons and a D-Bus",
    ),
    not_run(
        32,
        "systemd-resolved restarted",
        "needs systemd-resolved and a D-Bus",
    ),
    not_run(
        34,
        "account and updates while blocked",
        "there is no account service yet",
    ),
    not_run(40, "captive portal", "not built yet"),
    not_run(41, "programs left out of the tunnel", "not built yet"),
];

const fn not_run(row: u8, scenario: &'static str, why: &'static str) -> NotRun {
    NotRun { row, scenario, why }
}

/// Every scenario that is run, by number.
pub const ROWS: &[Row] = &[
    Row {
        number: 1,
        name: "data plane killed",
        attack: &[KillEngine, Expect(UP), KillEngine, Probe, Expect(UP)],
        ..PLAIN
    },
    Row {
        number: 2,
        name: "control plane killed and restarted",
        attack: &[KillDaemon, Probe, StartDaemon, Expect(UP)],
        ..PLAIN
    },
    Row {
        number: 3,
        name: "both killed, nobody restarts them",
        attack: &[KillEngine, KillDaemon, Probe, Wait(Duration::from_secs(2))],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 4,
        name: "data plane stopped",
        attack: &[
            StopEngine,
            Wait(Duration::from_secs(5)),
            ContinueEngine,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 6,
        name: "server unreachable, then refusing",
        attack: &[
            Router("ip route add blackhole 203.0.113.10"),
            Wait(Duration::from_secs(3)),
            Router("ip route del blackhole 203.0.113.10"),
            Expect(UP),
            Router("ip route add prohibit 203.0.113.10"),
            Wait(Duration::from_secs(3)),
            Router("ip route del prohibit 203.0.113.10"),
            Expect(UP),
            EndNode,
            Expect(&["reconnecting", "blocked"]),
        ],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 7,
        name: "server switched under load",
        attack: &[Switch, Switch, Switch, Switch, Switch],
        ..PLAIN
    },
    Row {
        number: 8,
        name: "control plane ended and started, as an upgrade does",
        attack: &[
            EndDaemon,
            Probe,
            StartDaemon,
            Expect(UP),
            EndDaemon,
            StartDaemon,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 10,
        name: "control plane ended, as a shutdown does",
        attack: &[EndDaemon, Probe],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 11,
        name: "default routes without metric",
        before: &[OtherGateway],
        attack: &[Client(
            "ip route replace default via 192.168.77.9 && \
             ip -6 route add default via 2001:db8:77::9 metric 1",
        )],
        undo: &[Client(
            "ip route replace default via 192.168.77.1 proto static && \
             ip -6 route del default via 2001:db8:77::9 metric 1",
        )],
        ..PLAIN
    },
    Row {
        number: 12,
        name: "more specific routes from DHCP (TunnelVision)",
        before: &[OtherGateway],
        attack: &[Client(
            "for p in 0.0.0.0/1 128.0.0.0/1 198.51.100.80/32 8.8.8.8/32; do \
             ip route add $p via 192.168.77.9 || exit 1; done; \
             for p in ::/1 8000::/1 2001:db8:100::80/128; do \
             ip -6 route add $p via 2001:db8:77::9 || exit 1; done",
        )],
        undo: &[Client(
            "for p in 0.0.0.0/1 128.0.0.0/1 198.51.100.80/32 8.8.8.8/32; do \
             ip route del $p || exit 1; done; \
             for p in ::/1 8000::/1 2001:db8:100::80/128; do \
             ip -6 route del $p || exit 1; done",
        )],
        ..PLAIN
    },
    Row {
        number: 13,
        name: "a public prefix on the link (LocalNet)",
        attack: &[Client(
            "ip addr add 198.51.100.77/24 dev eth0 && \
             ip -6 addr add 2001:db8:100::77/64 dev eth0 nodad",
        )],
        undo: &[Client(
            "ip addr del 198.51.100.77/24 dev eth0 && \
             ip -6 addr del 2001:db8:100::77/64 dev eth0",
        )],
        ..PLAIN
    },
    Row {
        number: 14,
        name: "a host route to the server (ServerIP)",
        kinds: &[
            Kind::ServerOtherPort,
            Kind::ServerUdp,
            Kind::ServerSamePort,
            Kind::Tcp,
        ],
        attack: &[
            Probe,
            Client("ip route add 203.0.113.10 via 192.168.77.1"),
            Probe,
        ],
        undo: &[Client("ip route del 203.0.113.10")],
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
            Client("ip -6 route flush proto ra"),
            Client("echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen"),
        ],
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
        number: 18,
        name: "packet filter flushed and our tables deleted",
        attack: &[
            Client("nft flush ruleset; true"),
            Probe,
            Client("nft delete table inet vpnm; nft delete table netdev vpnm; true"),
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
            "ip route add default via 192.168.77.9 table 99 && ip rule add pref 100 lookup 99 && \
             ip -6 route add default via 2001:db8:77::9 table 99 && ip -6 rule add pref 100 lookup 99",
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
        number: 23,
        name: "sockets tied to the interface",
        kinds: &[
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
        kinds: &[
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
        kinds: &[Kind::Packet],
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
        number: 28,
        name: "a container behind a bridge",
        before: &[Client(
            "ip netns add box && ip link add vbox type veth peer name eth0 netns box && \
             ip link add br0 type bridge && ip link set vbox master br0 && \
             ip link set br0 up && ip link set vbox up && ip addr add 172.17.0.1/16 dev br0 && \
             ip -n box link set lo up && ip -n box link set eth0 up && \
             ip -n box addr add 172.17.0.2/16 dev eth0 && \
             ip -n box route add default via 172.17.0.1 && \
             echo 1 > /proc/sys/net/ipv4/ip_forward",
        )],
        attack: &[BOX_PROBES, KillEngine, BOX_PROBES],
        undo: &[Client(
            "echo 0 > /proc/sys/net/ipv4/ip_forward; ip netns del box; ip link del br0; \
             ip link del vbox 2>/dev/null; rmdir /run/netns; true",
        )],
        ..PLAIN
    },
    Row {
        number: 29,
        name: "a program with the data plane's user id",
        user: User::Engine,
        kinds: &[
            Kind::Udp,
            Kind::Udp6,
            Kind::Tcp,
            Kind::Tcp6,
            Kind::Icmp,
            Kind::DnsUdp,
            Kind::DnsLanUdp,
            Kind::DnsLanTcp,
            Kind::ServerOtherPort,
            Kind::ServerUdp,
            Kind::BoundUdp,
            Kind::BoundTcp,
            Kind::LanUdp,
            Kind::LanTcp,
        ],
        ..PLAIN
    },
    Row {
        number: 30,
        name: "DNS to everybody by every way",
        kinds: &[
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
        number: 31,
        name: "resolv.conf rewritten by a DHCP client",
        kinds: &[
            Kind::DnsUdp,
            Kind::DnsLanUdp,
            Kind::DnsLanTcp,
            Kind::Dns6LanUdp,
        ],
        attack: &[
            Client("cp /etc/resolv.conf /run/resolv.saved"),
            Client("printf 'nameserver 192.168.77.1\nnameserver 8.8.8.8\n' > /etc/resolv.conf"),
            Client("for i in 1 2 3 4 5; do getent hosts site.example || exit 1; done"),
        ],
        undo: &[Client("cat /run/resolv.saved > /etc/resolv.conf")],
        ..PLAIN
    },
    Row {
        number: 33,
        name: "the server's name looked up before there is a tunnel",
        before: &[ByName],
        attack: &[Probe, KillEngine, Expect(UP)],
        ..PLAIN
    },
    Row {
        number: 35,
        name: "the LAN asks for the tunnel's address",
        attack: &[
            Router("ip route add 198.18.76.70 dev lan0"),
            Router("ping -c 3 -i 0.2 -W 1 198.18.76.70 >/dev/null; true"),
            Router("ip neigh replace 198.18.76.70 lladdr 02:00:00:00:77:02 dev lan0"),
            Router("ping -c 3 -i 0.2 -W 1 198.18.76.70 >/dev/null; true"),
            Router("curl -s -m 1 http://198.18.76.70/; true"),
            Router("ip route del 198.18.76.70 dev lan0"),
        ],
        ..PLAIN
    },
    Row {
        number: 36,
        name: "suspend and resume",
        attack: &[
            StopEngine,
            StopDaemon,
            Client("ip link set eth0 down"),
            Wait(Duration::from_secs(3)),
            Client(RAISE_ETH0),
            Wait(Duration::from_secs(1)),
            ContinueDaemon,
            ContinueEngine,
            Expect(UP),
        ],
        ..PLAIN
    },
    Row {
        number: 37,
        name: "what was remembered is destroyed",
        attack: &[
            KillDaemon,
            Client("for f in /var/lib/vpnm/*; do echo garbage > $f; done"),
            StartDaemon,
            Probe,
            Expect(&["blocked"]),
        ],
        aftermath: Aftermath::Closed,
        ..PLAIN
    },
    Row {
        number: 38,
        name: "datagrams that need fragments",
        kinds: &[Kind::LargeUdp],
        ..PLAIN
    },
    Row {
        number: 39,
        name: "multicast and the LAN",
        kinds: &[
            Kind::Mdns,
            Kind::Mdns6,
            Kind::Llmnr,
            Kind::Netbios,
            Kind::LanUdp,
            Kind::LanTcp,
            Kind::Lan6,
        ],
        ..PLAIN
    },
    Row {
        number: 42,
        name: "forwarding, strict reverse paths, link state, local routing",
        attack: &[Client(
            "cd /proc/sys/net/ipv4/conf && for c in all eth0 vpnm0; do \
             echo 1 > $c/rp_filter; echo 1 > $c/ignore_routes_with_linkdown; \
             echo 1 > $c/route_localnet; done; echo 1 > /proc/sys/net/ipv4/ip_forward",
        )],
        undo: &[Client(
            "echo 0 > /proc/sys/net/ipv4/ip_forward; cd /proc/sys/net/ipv4/conf && \
             for c in all eth0 vpnm0; do echo 0 > $c/rp_filter; \
             echo 0 > $c/ignore_routes_with_linkdown; echo 0 > $c/route_localnet; done",
        )],
        ..PLAIN
    },
    Row {
        number: 43,
        name: "programs of root, with every socket option",
        user: User::Root,
        kinds: &[
            Kind::DontRoute,
            Kind::LanUdp,
            Kind::LanTcp,
            Kind::DnsLanUdp,
            Kind::BoundUdp,
            Kind::BoundTcp,
            Kind::UnicastIf,
            Kind::SourceUdp,
            Kind::Udp,
            Kind::Tcp,
            Kind::ServerSamePort,
            Kind::ServerUdp,
        ],
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_there_once() {
        let run = ROWS.iter().map(|row| row.number);
        let mut numbers: Vec<u8> = run.chain(NOT_RUN.iter().map(|row| row.row)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=43).collect::<Vec<u8>>());
    }

    #[test]
    fn every_row_attacks() {
        assert!(ROWS.iter().all(|row| !row.attack.is_empty()));
    }
}
