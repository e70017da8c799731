//! What happens to the interface that leads out.

use super::{Claim, Deed, Fault, lasting};

/// The interface as it was, whatever was done to it. What it lost when it went
/// down or was renamed is put back as a network manager would.
const RESTORE_WIRE: Deed = Deed::Client(
    "if ip link show wan0 >/dev/null 2>&1; then \
     ip link set wan0 down && ip link set wan0 name eth0 || exit 1; fi; \
     { ip addr del 192.168.77.3/24 dev eth0 2>/dev/null; true; } && \
     ip link set eth0 up && ip addr replace 192.168.77.2/24 dev eth0 && \
     ip route replace default via 192.168.77.1 dev eth0 proto static && \
     ip -6 addr replace 2001:db8:77::2/64 dev eth0 nodad && \
     ip -6 route replace default via 2001:db8:77::1 dev eth0 proto static",
);

pub(super) const FAULTS: &[Fault] = &[
    lasting(
        Claim::Wire,
        4,
        "interface down",
        &[Deed::Client("ip link set eth0 down")],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "interface renamed",
        &[
            Deed::HoldFrames,
            Deed::Client(
                "ip link set eth0 down && ip link set eth0 name wan0 && ip link set wan0 up && \
                 ip route add default via 192.168.77.1 proto static && \
                 ip -6 addr add 2001:db8:77::2/64 dev wan0 nodad && \
                 ip -6 route add default via 2001:db8:77::1 proto static",
            ),
        ],
        &[Deed::HoldFrames, RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        3,
        "another address",
        &[Deed::Client(
            "ip addr del 192.168.77.2/24 dev eth0 && ip addr add 192.168.77.3/24 dev eth0 && \
             ip route replace default via 192.168.77.1 proto static",
        )],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "defaults lost",
        &[Deed::Client(
            "ip route del default; ip -6 route del default; true",
        )],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "another router",
        &[Deed::Client(
            "ip route replace default via 192.168.77.9 proto static; \
             ip -6 route replace default via 2001:db8:77::9 proto static; true",
        )],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        3,
        "interface flaps",
        &[Deed::Client(
            "for i in 1 2 3 4 5 6 7 8; do ip link set eth0 down; ip link set eth0 up; done",
        )],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "IPv4 addresses lost",
        &[Deed::Client("ip -4 addr flush dev eth0")],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "IPv6 addresses lost",
        &[Deed::Client("ip -6 addr flush dev eth0 scope global")],
        &[RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "IPv6 switched off",
        &[Deed::Client(
            "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6",
        )],
        &[
            Deed::Client("echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6"),
            RESTORE_WIRE,
        ],
    ),
    lasting(
        Claim::Wire,
        2,
        "packets too small for IPv6",
        &[Deed::Client("ip link set eth0 mtu 1000")],
        // The kernel forgets what was set for IPv6 on such an interface.
        &[
            Deed::Client(
                "ip link set eth0 mtu 1500 && \
                 echo 128 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen",
            ),
            RESTORE_WIRE,
        ],
    ),
    lasting(
        Claim::Wire,
        2,
        "interface in another namespace",
        &[Deed::Client(
            "ip netns add away && ip link set eth0 netns away",
        )],
        &[
            Deed::HoldFrames,
            // What is set for an interface does not come back with it.
            Deed::Client(
                "ip -n away link set eth0 netns $$ && ip netns del away && \
                 echo 128 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen",
            ),
            RESTORE_WIRE,
        ],
    ),
    lasting(
        Claim::Wire,
        2,
        "interface of short packets",
        &[Deed::Client("ip link set eth0 mtu 1280")],
        &[Deed::Client("ip link set eth0 mtu 1500"), RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "interface of long packets",
        &[Deed::Client("ip link set eth0 mtu 9000")],
        &[Deed::Client("ip link set eth0 mtu 1500"), RESTORE_WIRE],
    ),
    lasting(
        Claim::Wire,
        2,
        "interface a port of a bridge",
        // Not while another interface is on top of it.
        &[Deed::Client(
            "ip link add br0 address 02:00:00:00:77:02 type bridge && ip link set br0 up && \
             { ! ip link set eth0 master br0 2>/dev/null || { ip addr flush dev eth0 && \
             ip addr add 192.168.77.2/24 dev br0 && \
             ip -6 addr add 2001:db8:77::2/64 dev br0 nodad && \
             ip route replace default via 192.168.77.1 proto static && \
             ip -6 route replace default via 2001:db8:77::1 proto static; }; }",
        )],
        &[
            Deed::Client("ip link set eth0 nomaster && ip link del br0 && ip link set eth0 down"),
            RESTORE_WIRE,
        ],
    ),
    lasting(
        Claim::Wire,
        2,
        "IPv6 switched off on the interface",
        &[Deed::Client(
            "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6",
        )],
        &[
            Deed::Client("echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"),
            RESTORE_WIRE,
        ],
    ),
    lasting(
        Claim::Wire,
        2,
        "all routes of the machine's flushed",
        &[Deed::Client(
            "ip route flush table main; ip -6 route flush table main; true",
        )],
        // Going down and up brings back what the kernel itself puts there.
        &[Deed::Client("ip link set eth0 down"), RESTORE_WIRE],
    ),
];
