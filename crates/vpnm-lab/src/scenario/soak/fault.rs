//! What can go wrong in a soak: data.

use vpnm_world::Signal;

/// One thing that somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// The data plane gets a signal.
    Engine(Signal),
    /// The control plane gets a signal; after a deadly one it stays away.
    Daemon(Signal),
    /// The control plane is started where it does not run.
    Start,
    /// The control plane answers, and so owns what it set up.
    AwaitDaemon,
    /// A shell command of root on the client.
    Client(&'static str),
    /// A shell command of root on the router.
    Router(&'static str),
    /// The router advertises itself as the best way to everywhere.
    Advertise,
    /// A user of the program orders this, and waits for nothing.
    Order(&'static [&'static str]),
    /// The machine is to stay blocked when it is disconnected.
    LockDown,
    /// Root lets the machine be opened again.
    LiftLockdown,
    /// A user connects to the server, by its other address if so.
    Connect {
        /// Whether by the other address.
        other: bool,
    },
    /// A user disconnects for a moment: until the next block, all may leave.
    Open,
    /// Root's packet sockets rest until the filter knows the interface's name.
    HoldFrames,
    /// So many probes are fired in a second from now on.
    Pace(u32),
}

/// What only one fault at a time can have hold of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Claim {
    /// The control plane, and what it has stored.
    Daemon,
    /// The data plane.
    Engine,
    /// The interface, its name and addresses.
    Wire,
    /// Routes of others.
    Routes,
    /// Rules of others.
    Rules,
    /// Interfaces of others.
    Links,
    /// Resolver settings.
    Names,
    /// Settings of the kernel.
    Sysctl,
    /// The way to the server.
    Server,
    /// What is set up by the program under test: never held.
    Ours,
    /// The pace of the probes: never held.
    Pace,
}

/// One thing that goes wrong, and how it is put right if it stays wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// In few words.
    pub(super) name: &'static str,
    /// What it has hold of.
    pub(super) claim: Claim,
    /// How often it happens, beside the others.
    pub(super) weight: u32,
    /// What happens.
    pub(super) begin: &'static [Deed],
    /// What ends it; nothing where it is over at once.
    pub(super) end: &'static [Deed],
}

impl Fault {
    /// Whether it goes on until it is ended.
    pub(super) fn lasts(&self) -> bool {
        !self.end.is_empty()
    }
}

/// One that is over at once.
const fn brief(claim: Claim, weight: u32, name: &'static str, begin: &'static [Deed]) -> Fault {
    lasting(claim, weight, name, begin, &[])
}

const fn lasting(
    claim: Claim,
    weight: u32,
    name: &'static str,
    begin: &'static [Deed],
    end: &'static [Deed],
) -> Fault {
    Fault {
        name,
        claim,
        weight,
        begin,
        end,
    }
}

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

const RULES_OF_LINUX: &str = "ip rule flush; ip -6 rule flush; \
     ip rule add pref 32766 lookup main protocol kernel; \
     ip rule add pref 32767 lookup default protocol kernel; \
     ip -6 rule add pref 32766 lookup main protocol kernel; true";

/// All of them.
pub(super) const FAULTS: &[Fault] = &[
    brief(
        Claim::Engine,
        8,
        "engine killed",
        &[Deed::Engine(Signal::KILL)],
    ),
    lasting(
        Claim::Engine,
        3,
        "engine stopped",
        &[Deed::Engine(Signal::STOP)],
        &[Deed::Engine(Signal::CONT)],
    ),
    lasting(
        Claim::Daemon,
        5,
        "daemon killed",
        &[Deed::Daemon(Signal::KILL)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon aborted",
        &[Deed::Daemon(Signal::ABORT)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        3,
        "engine and daemon killed",
        &[Deed::Engine(Signal::KILL), Deed::Daemon(Signal::KILL)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon ended",
        &[Deed::Daemon(Signal::TERM)],
        &[Deed::Start],
    ),
    lasting(
        Claim::Daemon,
        2,
        "daemon stopped",
        &[Deed::Daemon(Signal::STOP)],
        &[Deed::Daemon(Signal::CONT)],
    ),
    // While no daemon lives the tables have no owner, and who flushes them then
    // opens what they alone hold: docs/security.md, "How it holds".
    brief(
        Claim::Daemon,
        6,
        "packet filter flushed",
        &[Deed::AwaitDaemon, Deed::Client("nft flush ruleset; true")],
    ),
    brief(
        Claim::Daemon,
        5,
        "our tables deleted",
        &[
            Deed::AwaitDaemon,
            Deed::Client("for t in inet netdev arp; do nft delete table $t vpnm; done; true"),
        ],
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
             ip link set br7 up; true",
        )],
        &[Deed::Client("ip link del br7; true")],
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
        Claim::Sysctl,
        2,
        "forwarding, reverse paths, link state",
        &[Deed::Client(
            "cd /proc/sys/net/ipv4/conf/all; echo 1 > rp_filter; \
             echo 1 > ignore_routes_with_linkdown; echo 1 > route_localnet; \
             echo 1 > /proc/sys/net/ipv4/ip_forward",
        )],
        &[Deed::Client(
            "echo 0 > /proc/sys/net/ipv4/ip_forward; cd /proc/sys/net/ipv4/conf/all; \
             echo 0 > rp_filter; echo 0 > ignore_routes_with_linkdown; echo 0 > route_localnet",
        )],
    ),
    lasting(
        Claim::Daemon,
        1,
        "disk full, daemon killed",
        &[
            Deed::Client(
                "mount -o remount,size=1m /var/lib && \
                 { cat /dev/zero > /var/lib/full 2>/dev/null; true; }",
            ),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
        &[Deed::Client(
            "rm /var/lib/full; mount -o remount,size=50% /var/lib",
        )],
    ),
    lasting(
        Claim::Daemon,
        1,
        "disk read-only, daemon killed",
        &[
            Deed::Client("mount -o remount,ro /var/lib"),
            Deed::Daemon(Signal::KILL),
            Deed::Start,
        ],
        &[Deed::Client("mount -o remount,rw /var/lib")],
    ),
    lasting(
        Claim::Daemon,
        1,
        "journal destroyed",
        &[
            Deed::Daemon(Signal::KILL),
            Deed::Client("for f in /var/lib/vpnm/*; do echo garbage > $f; done"),
            Deed::Start,
        ],
        &[Deed::Connect { other: false }, Deed::LiftLockdown],
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
        Claim::Daemon,
        3,
        "server switched",
        &[Deed::Connect { other: true }],
        &[Deed::Connect { other: false }],
    ),
    brief(
        Claim::Daemon,
        2,
        "reconnected",
        &[Deed::Order(&["reconnect"])],
    ),
    lasting(
        Claim::Daemon,
        3,
        "disconnected under lockdown",
        &[
            Deed::AwaitDaemon,
            Deed::LockDown,
            Deed::Order(&["disconnect"]),
        ],
        &[Deed::Connect { other: false }, Deed::LiftLockdown],
    ),
    lasting(
        Claim::Daemon,
        3,
        "disconnected",
        &[Deed::Open],
        &[Deed::Connect { other: false }],
    ),
    brief(Claim::Pace, 2, "probes slow", &[Deed::Pace(500)]),
    brief(Claim::Pace, 3, "probes as usual", &[Deed::Pace(2_000)]),
    brief(Claim::Pace, 2, "probes fast", &[Deed::Pace(5_000)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_how_many_there_are() {
        let text = include_str!("../../../../../README.md");
        let faults = FAULTS.iter().filter(|fault| fault.claim != Claim::Pace);
        let count = faults.count();
        assert!(text.contains(&format!("lets {count} faults")), "{count}");
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), FAULTS.len());
    }
}
