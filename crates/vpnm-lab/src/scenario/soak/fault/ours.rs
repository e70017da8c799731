//! What happens to that which the program under test has set up, and how fast is probed.

use super::{Claim, Deed, Fault, brief, lasting};

const RULES_OF_LINUX: &str = "ip rule flush; ip -6 rule flush; \
     ip rule add pref 32766 lookup main protocol kernel; \
     ip rule add pref 32767 lookup default protocol kernel; \
     ip -6 rule add pref 32766 lookup main protocol kernel; true";

pub(super) const ALL_AT_ONCE: &str = "{ nft flush ruleset; \
     for t in inet netdev arp; do nft delete table $t vpnm; done; } & \
     { ip rule flush; ip rule add pref 32766 lookup main protocol kernel; \
     ip rule add pref 32767 lookup default protocol kernel; } & \
     { ip -6 rule flush; ip -6 rule add pref 32766 lookup main protocol kernel; } & \
     ip route flush table 7670 & ip -6 route flush table 7670 & wait; true";

pub(super) const FAULTS: &[Fault] = &[
    brief(
        Claim::Ours,
        6,
        "packet filter flushed",
        &[Deed::Client("nft flush ruleset; true")],
    ),
    brief(
        Claim::Ours,
        5,
        "our tables deleted",
        &[Deed::Client(
            "for t in inet netdev arp; do nft delete table $t vpnm; done; true",
        )],
    ),
    brief(
        Claim::Ours,
        4,
        "rules flushed",
        &[Deed::Client(RULES_OF_LINUX)],
    ),
    brief(
        Claim::Ours,
        4,
        "our routes flushed",
        &[Deed::Client(
            "ip route flush table 7670; ip -6 route flush table 7670; true",
        )],
    ),
    brief(
        Claim::Ours,
        3,
        "rules and routes flushed",
        &[
            Deed::Client(RULES_OF_LINUX),
            Deed::Client("ip route flush table 7670; ip -6 route flush table 7670; true"),
        ],
    ),
    brief(
        Claim::Ours,
        2,
        "tunnel's addresses taken",
        &[Deed::Client("ip addr flush dev vpnm0; true")],
    ),
    brief(
        Claim::Ours,
        2,
        "tunnel's interface set down",
        &[Deed::Client("ip link set vpnm0 down; true")],
    ),
    brief(
        Claim::Ours,
        2,
        "tunnel's interface deleted",
        &[Deed::Client("ip link del vpnm0; true")],
    ),
    brief(
        Claim::Ours,
        3,
        "packet filter flushed over and over",
        &[Deed::Client(
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do nft flush ruleset; done; true",
        )],
    ),
    brief(
        Claim::Ours,
        3,
        "filter, rules and routes taken at once",
        &[Deed::Client(ALL_AT_ONCE)],
    ),
    brief(
        Claim::Ours,
        3,
        "our routes lead elsewhere",
        &[Deed::Client(
            "ip route replace default via 192.168.77.1 table 7670; \
             ip -6 route replace default via 2001:db8:77::1 table 7670; true",
        )],
    ),
    brief(
        Claim::Ours,
        2,
        "tunnel's packets made small",
        &[Deed::Client("ip link set vpnm0 mtu 1200; true")],
    ),
    brief(
        Claim::Ours,
        2,
        "neighbours forgotten",
        &[Deed::Client("ip neigh flush all; true")],
    ),
    lasting(
        Claim::Links,
        1,
        "tunnel's name taken by another interface",
        &[Deed::Client(
            "ip link del vpnm0; ip link add vpnm0 type dummy && ip link set vpnm0 up && \
             ip addr add 10.9.1.1/24 dev vpnm0; true",
        )],
        &[Deed::Client(
            "ip -d link show vpnm0 | grep -q dummy && ip link del vpnm0; true",
        )],
    ),
    lasting(
        Claim::Links,
        2,
        "tunnel's interface in another namespace",
        &[Deed::Client(
            "ip netns add thief && ip link set vpnm0 netns thief; true",
        )],
        &[Deed::Client("ip netns del thief; true")],
    ),
    brief(
        Claim::Ours,
        2,
        "IPv6 switched off on the tunnel's interface",
        &[Deed::Client(
            "echo 1 > /proc/sys/net/ipv6/conf/vpnm0/disable_ipv6; true",
        )],
    ),
    brief(
        Claim::Ours,
        2,
        "tracked connections forgotten",
        &[Deed::Client("conntrack -F")],
    ),
    brief(Claim::Pace, 2, "probes slow", &[Deed::Pace(500)]),
    brief(Claim::Pace, 3, "probes as usual", &[Deed::Pace(2_000)]),
    brief(Claim::Pace, 2, "probes fast", &[Deed::Pace(5_000)]),
];
