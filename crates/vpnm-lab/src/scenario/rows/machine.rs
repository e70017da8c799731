//! Other programs of the machine do their work.

use vpnm_world::probe::Kind;

use super::{PLAIN, UP, ours};
use crate::scenario::Step::{
    ByName, Check, Client, EndPrograms, Expect, KillEngine, NetworkManager, Probe, Programs,
    Resolved, RestartResolved, Router, Start,
};
use crate::scenario::{Protection, Row, Step};

/// Questions for names, to whoever may be asked.
const NAMES: &[Kind] = &[
    Kind::DnsUdp,
    Kind::DnsLanUdp,
    Kind::DnsLanTcp,
    Kind::Dns6LanUdp,
    Kind::DnsStub,
];

/// Programs find a name by the C library.
const FIND: Step = Client("for i in 1 2 3 4 5; do getent hosts site.example || exit 1; done");

/// Datagrams from the container: to the site, to public and to LAN resolvers.
const BOX_PROBES: Step = Client(
    "ip netns exec box bash -c 'for i in {1..2500}; do \
     for to in 198.51.100.80/9 8.8.8.8/53 192.168.77.1/53 192.168.77.9/9; do \
     echo vpnm-probe-container~ > /dev/udp/$to; done; done' 2>/dev/null; true",
);

/// A container: a namespace behind a bridge of the client.
const BOX: Step = Client(
    "ip netns add box && ip link add vbox type veth peer name eth0 netns box && \
     ip link add br0 type bridge && ip link set vbox master br0 && \
     ip link set br0 up && ip link set vbox up && ip addr add 172.17.0.1/16 dev br0 && \
     ip -n box link set lo up && ip -n box link set eth0 up && \
     ip -n box addr add 172.17.0.2/16 dev eth0 && \
     ip -n box route add default via 172.17.0.1 && \
     echo 1 > /proc/sys/net/ipv4/ip_forward",
);

/// Everything of it gone.
const NO_BOX: Step = Client(
    "echo 0 > /proc/sys/net/ipv4/ip_forward; ip netns del box; ip link del br0; \
     ip link del vbox 2>/dev/null; rmdir /run/netns; true",
);

/// docker, with everything of its own in `/run`. It insists on control groups,
/// of whichever version the kernel has.
const DOCKER: Step = Start(
    "mount -t tmpfs none /sys/fs/cgroup && { for c in devices memory pids cpu; do \
     mkdir -p /sys/fs/cgroup/$c && mount -t cgroup -o $c none /sys/fs/cgroup/$c || break; done; \
     [ -e /sys/fs/cgroup/devices/tasks ] || mount -t cgroup2 none /sys/fs/cgroup; }; \
     exec dockerd --data-root /run/docker/data --exec-root /run/docker/exec \
     --pidfile /run/docker.pid --host unix:///run/docker.sock --storage-driver vfs \
     >/run/docker.log 2>&1",
);

/// Docker has put its rules and its bridge in place.
const DOCKER_IS_UP: Step = Client(
    "for i in $(seq 300); do curl -sf --unix-socket /run/docker.sock http://docker/_ping && \
     ip link show docker0 && exit; sleep 0.1; done; tail -n 5 /run/docker.log; exit 1",
);

/// What docker leaves behind when it ends.
const AFTER_DOCKER: Step = Client(
    "ip link del docker0; for t in nat filter; do for v in ip ip6; do \
     nft delete table $v $t 2>/dev/null; done; done; \
     for c in '' /devices /memory /pids /cpu; do umount /sys/fs/cgroup$c 2>/dev/null; done; \
     umount /sys/fs/cgroup 2>/dev/null; rm -f /etc/docker/key.json; echo 0 > /proc/sys/net/ipv4/ip_forward; true",
);

const FIREWALLD: Step = Start(
    "mount -t tmpfs none /var/log && exec firewalld --nofork --nopid >/run/firewalld.log 2>&1",
);

const FIREWALLD_IS_UP: Step = Client(
    "for i in $(seq 300); do firewall-cmd --state 2>/dev/null && exit; sleep 0.1; done; exit 1",
);

const NO_NAMES: &str = "names do not resolve through it, whoever wrote the file";

pub(super) const ROWS: &[Row] = &[
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
        number: 19,
        name: "iptables: policies opened, everything flushed",
        before: &[Programs],
        attack: &[
            Client(
                "for c in iptables ip6tables; do for t in filter nat mangle raw; do \
                 $c -t $t -F && $c -t $t -X || exit 1; done; \
                 for h in INPUT OUTPUT FORWARD; do $c -P $h ACCEPT || exit 1; done; done",
            ),
            Probe,
            Client("iptables -I OUTPUT -j ACCEPT && ip6tables -I OUTPUT -j ACCEPT"),
            Probe,
            Client("iptables -F && ip6tables -F"),
            Expect(UP),
        ],
        undo: &[
            Client(
                "for v in ip ip6; do for t in filter nat mangle raw; do \
                 nft delete table $v $t; done; done 2>/dev/null; true",
            ),
            EndPrograms,
        ],
        ..PLAIN
    },
    Row {
        number: 19,
        name: "firewalld started, reloaded, reloaded completely, ended",
        before: &[Programs],
        attack: &[
            FIREWALLD,
            FIREWALLD_IS_UP,
            Client("firewall-cmd --reload"),
            Client("firewall-cmd --complete-reload"),
            Client("firewall-cmd --panic-on && sleep 1 && firewall-cmd --panic-off"),
            Expect(UP),
            EndPrograms,
            Expect(UP),
        ],
        undo: &[Client(
            "for v in inet ip ip6; do nft delete table $v firewalld; \
             nft delete table $v firewalld_policy_drop; done 2>/dev/null; true",
        )],
        ..PLAIN
    },
    Row {
        number: 19,
        name: "docker started, restarted, ended",
        before: &[Programs],
        attack: &[
            DOCKER,
            DOCKER_IS_UP,
            Client(
                "kill $(cat /run/docker.pid); for i in $(seq 100); do [ -e /run/docker.pid ] || exit 0; sleep 0.1; done; exit 1",
            ),
            DOCKER,
            DOCKER_IS_UP,
            Expect(UP),
        ],
        undo: &[EndPrograms, AFTER_DOCKER],
        ..PLAIN
    },
    Row {
        number: 28,
        name: "a container behind a bridge, led into the tunnel",
        before: &[BOX],
        attack: &[
            BOX_PROBES,
            KillEngine,
            BOX_PROBES,
            Expect(UP),
            BOX_PROBES,
            Check,
            Expect(UP),
        ],
        undo: &[NO_BOX],
        ..PLAIN
    },
    Row {
        number: 28,
        name: "a container behind a bridge, refused by setting",
        before: &[
            BOX,
            Client("mkdir -p /etc/vpnm && echo 'forwarding = \"block\"' > /etc/vpnm/settings.toml"),
        ],
        attack: &[
            BOX_PROBES,
            KillEngine,
            BOX_PROBES,
            Expect(UP),
            Check,
            Expect(UP),
        ],
        undo: &[NO_BOX, Client("rm -r /etc/vpnm")],
        ..PLAIN
    },
    Row {
        number: 31,
        name: "resolv.conf rewritten by a DHCP client",
        focus: NAMES,
        attack: &[
            Client("cp /etc/resolv.conf /run/resolv.saved"),
            Client("printf 'nameserver 192.168.77.1\nnameserver 8.8.8.8\n' > /etc/resolv.conf"),
            FIND,
        ],
        undo: &[Client("cat /run/resolv.saved > /etc/resolv.conf")],
        unsuited: &[(Protection::SingBox, NO_NAMES)],
        ..PLAIN
    },
    Row {
        number: 31,
        name: "resolv.conf rewritten by NetworkManager",
        focus: NAMES,
        before: &[NetworkManager],
        attack: &[
            Client("nmcli general reload dns-full; sleep 0.5; getent hosts site.example"),
            Client("echo nameserver 8.8.8.8 > /etc/resolv.conf && getent hosts site.example"),
            Client("nmcli general reload dns-full; sleep 0.5; getent hosts site.example"),
        ],
        undo: &[EndPrograms],
        unsuited: &ours(NO_NAMES),
        ..PLAIN
    },
    Row {
        number: 32,
        name: "systemd-resolved restarted, two links for every name",
        focus: NAMES,
        before: &[Resolved],
        attack: &[
            RestartResolved,
            Expect(UP),
            FIND,
            Client(
                "ip tuntap add tun9 mode tun && ip link set tun9 up && \
                 resolvectl domain tun9 '~.' && resolvectl dns tun9 192.168.77.9",
            ),
            RestartResolved,
            Expect(UP),
            FIND,
        ],
        undo: &[Client("ip link del tun9"), EndPrograms],
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
        number: 42,
        name: "strict reverse paths",
        attack: &[
            Client("echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter"),
            Expect(UP),
        ],
        undo: &[Client("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter")],
        ..PLAIN
    },
    Row {
        number: 42,
        name: "loose reverse paths",
        attack: &[
            Client("echo 2 > /proc/sys/net/ipv4/conf/all/rp_filter"),
            Expect(UP),
        ],
        undo: &[Client("echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter")],
        ..PLAIN
    },
    Row {
        number: 42,
        name: "routes of dead links ignored",
        attack: &[
            Client("echo 1 > /proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown"),
            Expect(UP),
        ],
        undo: &[Client(
            "echo 0 > /proc/sys/net/ipv4/conf/all/ignore_routes_with_linkdown",
        )],
        ..PLAIN
    },
    Row {
        number: 42,
        name: "forwarding, both families",
        attack: &[
            Client(
                "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            ),
            Expect(UP),
        ],
        undo: &[Client(
            "echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
        )],
        ..PLAIN
    },
    Row {
        number: 42,
        name: "local addresses routed and accepted",
        attack: &[
            Client(
                "cd /proc/sys/net/ipv4/conf/all; echo 1 > route_localnet; echo 1 > accept_local",
            ),
            Expect(UP),
        ],
        undo: &[Client(
            "cd /proc/sys/net/ipv4/conf/all; echo 0 > route_localnet; echo 0 > accept_local",
        )],
        ..PLAIN
    },
    Row {
        number: 42,
        name: "forwarding, reverse paths, link state and local routing at once",
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
];
