//! What others change around it: routes, rules, interfaces, resolvers, settings, the server.

use super::{Claim, Deed, Fault, lasting};

pub(super) const FAULTS: &[Fault] = &[
    lasting(
        Claim::Routes,
        4,
        "routes more specific",
        &[Deed::Client(
            "for p in 0.0.0.0/1 128.0.0.0/1 198.51.100.80/32 8.8.8.8/32; do \
             ip route replace $p via 192.168.77.9; done; \
             for p in ::/1 8000::/1 2001:db8:100::80/128; do \
             ip -6 route replace $p via 2001:db8:77::9; done; true",
        )],
        &[Deed::Client(
            "for p in 0.0.0.0/1 128.0.0.0/1 198.51.100.80/32 8.8.8.8/32; do \
             ip route del $p; done 2>/dev/null; \
             for p in ::/1 8000::/1 2001:db8:100::80/128; do \
             ip -6 route del $p; done 2>/dev/null; true",
        )],
    ),
    lasting(
        Claim::Routes,
        2,
        "host route to the server",
        &[Deed::Client(
            "ip route replace 203.0.113.10 via 192.168.77.1; true",
        )],
        &[Deed::Client("ip route del 203.0.113.10 2>/dev/null; true")],
    ),
    lasting(
        Claim::Routes,
        2,
        "public prefix on the link",
        &[Deed::Client(
            "ip route replace 198.51.100.0/24 dev $(ip -o link show | \
             grep -oE 'eth0|wan0' | head -n 1); true",
        )],
        &[Deed::Client(
            "ip route del 198.51.100.0/24 2>/dev/null; true",
        )],
    ),
    lasting(
        Claim::Routes,
        3,
        "router advertisement",
        &[Deed::Advertise],
        &[Deed::Client("ip -6 route flush proto ra; true")],
    ),
    lasting(
        Claim::Rules,
        4,
        "foreign rules before ours",
        &[Deed::Client(
            "ip route replace default via 192.168.77.9 table 99; ip rule add pref 100 lookup 99; \
             ip -6 route replace default via 2001:db8:77::9 table 99; \
             ip -6 rule add pref 100 lookup 99; true",
        )],
        &[Deed::Client(
            "ip rule del pref 100; ip -6 rule del pref 100; \
             ip route flush table 99; ip -6 route flush table 99; true",
        )],
    ),
    lasting(
        Claim::Rules,
        2,
        "foreign firewall that accepts",
        &[Deed::Client(
            "nft 'add table inet other; add chain inet other o \
             { type filter hook output priority -300; policy accept; }; \
             add rule inet other o accept'; true",
        )],
        &[Deed::Client("nft delete table inet other; true")],
    ),
    lasting(
        Claim::Links,
        3,
        "new interface with better defaults",
        &[Deed::Client(
            "ip link add link $(ip -o link show | grep -oE 'eth0|wan0' | head -n 1) \
             name eth1 type macvlan mode bridge && \
             ip addr add 192.168.77.50/24 dev eth1 && ip link set eth1 up && \
             ip route add 0.0.0.0/2 via 192.168.77.1 dev eth1 onlink; true",
        )],
        &[
            Deed::Client("ip link del eth1; true"),
            Deed::Router("ip neigh flush dev lan0"),
        ],
    ),
    lasting(
        Claim::Links,
        2,
        "interface without an end",
        &[Deed::Client(
            "ip tuntap add tun9 mode tun && ip link set tun9 up && \
             ip addr add 10.9.0.2/24 dev tun9 && ip route add 64.0.0.0/2 dev tun9; true",
        )],
        &[Deed::Client("ip link del tun9; true")],
    ),
    lasting(
        Claim::Links,
        2,
        "bridge with a private network",
        &[Deed::Client(
            "ip link add br7 type bridge && ip addr add 172.17.0.1/16 dev br7 && \
             ip link set br7 up && ip tuntap add tap7 mode tap && \
             ip link set tap7 master br7; true",
        )],
        &[Deed::Client("ip link del br7; ip link del tap7; true")],
    ),
    lasting(
        Claim::Names,
        2,
        "resolv.conf rewritten",
        &[Deed::Client(
            "cp /etc/resolv.conf /run/soak.saved && \
             printf 'nameserver 192.168.77.1\\nnameserver 8.8.8.8\\n' > /etc/resolv.conf",
        )],
        &[Deed::Client("cat /run/soak.saved > /etc/resolv.conf")],
    ),
    lasting(
        Claim::Names,
        2,
        "resolv.conf hidden by another",
        &[Deed::Client(
            "printf 'nameserver 192.168.77.1\\nnameserver 8.8.8.8\\n' > /run/soak.other && \
             mount --bind /run/soak.other /etc/resolv.conf",
        )],
        &[Deed::Client("umount /etc/resolv.conf")],
    ),
    lasting(
        Claim::Sysctl,
        2,
        "reverse paths, link state, local routing",
        &[Deed::Client(
            "cd /proc/sys/net/ipv4/conf/all; echo 1 > rp_filter; \
             echo 1 > ignore_routes_with_linkdown; echo 1 > route_localnet",
        )],
        &[Deed::Client(
            "cd /proc/sys/net/ipv4/conf/all; echo 0 > rp_filter; \
             echo 0 > ignore_routes_with_linkdown; echo 0 > route_localnet",
        )],
    ),
    lasting(
        Claim::Sysctl,
        2,
        "forwarding switched off",
        &[Deed::Client("echo 0 > /proc/sys/net/ipv4/ip_forward")],
        &[Deed::Client("echo 1 > /proc/sys/net/ipv4/ip_forward")],
    ),
    lasting(
        Claim::Sysctl,
        2,
        "redirects, source routes, advertisements",
        &[Deed::Client(
            "cd /proc/sys/net && for s in ipv4/conf/all/accept_redirects \
             ipv4/conf/all/send_redirects ipv4/conf/all/secure_redirects \
             ipv4/conf/all/accept_source_route ipv6/conf/all/accept_redirects \
             ipv6/conf/all/accept_source_route ipv6/conf/all/accept_ra; do \
             echo $s $(cat $s); echo 1 > $s; done > /run/soak.settings",
        )],
        &[Deed::Client(
            "cd /proc/sys/net && while read s was; do echo $was > $s; done < /run/soak.settings",
        )],
    ),
    lasting(
        Claim::Server,
        2,
        "server silent",
        &[Deed::Router("ip route replace blackhole 203.0.113.10")],
        &[Deed::Router("ip route del blackhole 203.0.113.10")],
    ),
    lasting(
        Claim::Server,
        2,
        "server unreachable",
        &[Deed::Router("ip route replace prohibit 203.0.113.10")],
        &[Deed::Router("ip route del prohibit 203.0.113.10")],
    ),
    lasting(
        Claim::Rules,
        2,
        "foreign firewall that drops",
        &[Deed::Client(
            "nft 'add table inet wall; add chain inet wall o \
             { type filter hook output priority -300; policy drop; }'; true",
        )],
        &[Deed::Client("nft delete table inet wall; true")],
    ),
    lasting(
        Claim::Rules,
        2,
        "foreign address translation and marks",
        &[Deed::Client(
            "nft 'add table ip turn; \
             add chain ip turn n { type nat hook output priority -150; }; \
             add rule ip turn n tcp dport 80 dnat to 192.168.77.9; \
             add rule ip turn n udp dport { 9, 53 } dnat to 192.168.77.9; \
             add chain ip turn m { type route hook output priority -160; }; \
             add rule ip turn m meta mark set 1'; \
             ip route replace default via 192.168.77.9 table 98; \
             ip rule add pref 90 fwmark 1 lookup 98; true",
        )],
        &[Deed::Client(
            "nft delete table ip turn; ip rule del pref 90; ip route flush table 98; true",
        )],
    ),
    lasting(
        Claim::Links,
        2,
        "cable with both ends here",
        &[Deed::Client(
            "ip link add cab0 type veth peer name cab1 && ip link set cab0 up && \
             ip link set cab1 up && ip addr add 10.8.0.1/24 dev cab0 && \
             ip route add 32.0.0.0/3 via 10.8.0.2 dev cab0 onlink; true",
        )],
        &[Deed::Client("ip link del cab0; true")],
    ),
    lasting(
        Claim::Sysctl,
        2,
        "IPv6 forwarding",
        &[Deed::Client(
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        )],
        &[Deed::Client(
            "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
        )],
    ),
];
