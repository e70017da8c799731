//! Each fault by itself, and the check that must name it.

use std::time::Duration;

use vpnm_api::{Code, Failure, State, Unkept};
use vpnm_host::{
    Address, Discipline, Family, Foreign, Link, Lookup, Prefix, Route, Rule, TunFacts,
};

use super::super::finding::Severity;
use super::super::findings;
use super::super::survey::{JournalFacts, Network, SettingsFault, Survey};
use super::{default_route, healthy, link, rule};

/// What a check made of a machine, by its name.
fn severity(survey: &Survey, name: &str) -> (Severity, String) {
    let findings = findings(survey);
    let check = findings.checks.into_iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("there is no check {name}"));
    (check.finding.severity, check.finding.next)
}

/// A fault, the check that must name it, how much it matters, and a word of its fix.
type Fault = (fn(&mut Survey), &'static str, Severity, &'static str);

fn on_network(survey: &mut Survey) -> &mut Network {
    survey
        .network
        .as_mut()
        .expect("the network of these tests is seen")
}

fn on_clock(survey: &mut Survey) -> &mut Discipline {
    let clock = survey.machine.clock.as_mut();
    clock.expect("the clock of these tests is seen")
}

fn chain(hook: &'static str, kind: &str) -> Foreign {
    Foreign {
        family: "inet",
        table: "filter".to_owned(),
        chain: "out".to_owned(),
        hook,
        kind: kind.to_owned(),
        drops: true,
    }
}

fn with(survey: &mut Survey, setting: &str, value: u64) {
    survey.settings.insert(setting.to_owned(), value);
}

use Severity::{Note, Problem as Bad, Unknown, Warning};

const OF_THE_MACHINE: &[Fault] = &[
    (|s| s.machine.tun = None, "device", Bad, "modprobe tun"),
    (|s| s.machine.tun = Some(false), "device", Bad, "mknod"),
    (
        |s| s.machine.distrust = Some("none is installed".to_owned()),
        "trust",
        Bad,
        "ca-certificates",
    ),
    (
        |s| s.machine.release = "4.19.0".to_owned(),
        "kernel",
        Bad,
        "upgrade",
    ),
    (
        |s| s.machine.release = "?".to_owned(),
        "kernel",
        Unknown,
        "",
    ),
    (|s| s.filter = None, "filter", Bad, "nf_tables"),
    (
        |s| s.filter.as_mut().unwrap().capabilities.ownership = false,
        "filter",
        Note,
        "",
    ),
    (
        |s| s.filter.as_mut().unwrap().capabilities.egress = false,
        "egress",
        Warning,
        "EGRESS",
    ),
    (|s| s.machine.can_sever = Some(false), "endings", Note, ""),
    (
        |s| on_network(s).kernel.cubic = false,
        "congestion",
        Note,
        "",
    ),
    (|s| s.machine.seccomp = None, "seccomp", Bad, "SECCOMP"),
    (
        |s| s.machine.modules = Some("apparmor".to_owned()),
        "landlock",
        Note,
        "",
    ),
    (
        |s| s.user.status = "CapBnd:\t00000000a80425fb\n".to_owned(),
        "rights",
        Bad,
        "NET_ADMIN",
    ),
    (
        |s| with(s, "net/netfilter/nf_conntrack_count", 60_000),
        "conntrack",
        Warning,
        "131072",
    ),
    (
        |s| with(s, "net/ipv4/icmp_msgs_per_sec", 1),
        "refusals",
        Warning,
        "icmp_msgs_per_sec",
    ),
    (|s| s.machine.now = 1_000, "clock", Bad, "timedatectl"),
    (
        |s| on_clock(s).error = Duration::from_secs(100),
        "clock",
        Warning,
        "timedatectl",
    ),
    (|s| on_clock(s).is_kept = false, "clock", Note, ""),
    (|s| s.machine.clock = None, "clock", Unknown, ""),
];

const OF_THE_NETWORK: &[Fault] = &[
    (
        |s| on_network(s).routes.clear(),
        "uplink",
        Bad,
        "connect this machine",
    ),
    (|s| drop(on_network(s).routes.remove(0)), "uplink", Note, ""),
    (
        |s| {
            on_network(s).links.push(link(3, "wlan0", ""));
            on_network(s).routes.push(default_route(Family::V4, 3));
        },
        "ways-out",
        Note,
        "",
    ),
    (
        |s| on_network(s).links[1].settings.mtu = 576,
        "mtu",
        Bad,
        "mtu 1280",
    ),
    (
        |s| on_network(s).links[1].settings.mtu = 1492,
        "mtu",
        Note,
        "",
    ),
    (
        |s| with(s, "net/ipv6/conf/all/disable_ipv6", 1),
        "ipv6",
        Note,
        "",
    ),
    (
        |s| {
            on_network(s).addresses.push(Address {
                link: 2,
                prefix: Prefix::new("2001:db8::5054:ff:fe12:3456".parse().unwrap(), 64),
            });
        },
        "privacy",
        Note,
        "",
    ),
    (
        |s| on_network(s).no_free_address = true,
        "addresses",
        Bad,
        "ip address",
    ),
    (
        |s| on_network(s).links.push(link(4, "vpnm0", "dummy")),
        "interface",
        Bad,
        "link delete vpnm0",
    ),
    (
        |s| with(s, "net/ipv4/conf/eth0/rp_filter", 1),
        "rp-filter",
        Note,
        "",
    ),
    (
        |s| with(s, "net/ipv4/conf/all/ignore_routes_with_linkdown", 1),
        "link-down",
        Note,
        "",
    ),
    (
        |s| with(s, "net/ipv6/conf/eth0/ignore_routes_with_linkdown", 1),
        "link-down",
        Note,
        "",
    ),
    (
        |s| with(s, "net/ipv4/conf/eth0/route_localnet", 1),
        "localnet",
        Note,
        "",
    ),
    (
        |s| with(s, "net/ipv4/ip_forward", 1),
        "forwarding",
        Note,
        "",
    ),
    (
        |s| on_network(s).links.push(link(5, "docker0", "bridge")),
        "containers",
        Note,
        "",
    ),
    (
        |s| {
            on_network(s)
                .rules
                .push(rule(7618, Lookup::Table(7670), 118));
        },
        "leftovers",
        Warning,
        "cleanup",
    ),
];

const OF_OTHERS: &[Fault] = &[
    (
        |s| {
            on_network(s)
                .rules_before_ours
                .push(rule(100, Lookup::Table(52), 0));
        },
        "earlier",
        Warning,
        "pref 100",
    ),
    (
        |s| {
            on_network(s)
                .rules
                .push(rule(9_000, Lookup::Table(2022), 0));
        },
        "later",
        Note,
        "",
    ),
    (
        |s| on_network(s).rules.push(rule(7_610, Lookup::Table(5), 0)),
        "our-place",
        Bad,
        "pref 7610",
    ),
    (
        |s| {
            on_network(s)
                .rules
                .push(rule(20_000, Lookup::Table(7_670), 0));
        },
        "our-place",
        Bad,
        "pref 20000",
    ),
    (
        |s| {
            let route = default_route(Family::V6, 2);
            on_network(s).routes.push(Route {
                table: 7_670,
                ..route
            });
        },
        "our-place",
        Bad,
        "ip -6 route flush table 7670",
    ),
    (
        |s| {
            on_network(s).rules_before_ours.push(Rule {
                family: Family::V6,
                ..rule(100, Lookup::Table(52), 0)
            });
        },
        "earlier",
        Warning,
        "ip -6 rule del pref 100",
    ),
    (
        |s| on_network(s).links.push(link(6, "wg0", "wireguard")),
        "other-vpns",
        Warning,
        "wg0 down",
    ),
    (
        |s| {
            on_network(s).links.push(Link {
                tun: Some(TunFacts {
                    owner: None,
                    persistent: false,
                }),
                ..link(6, "tailscale0", "tun")
            });
        },
        "other-vpns",
        Warning,
        "tailscale0",
    ),
    (
        |s| s.processes.push("mullvad-daemon".to_owned()),
        "daemons",
        Warning,
        "stop mullvad-daemon",
    ),
    (
        |s| s.processes.push("firewalld".to_owned()),
        "firewalls",
        Note,
        "",
    ),
    (|s| s.service.has_ufw = true, "firewalls", Note, ""),
    (
        |s| {
            s.filter
                .as_mut()
                .unwrap()
                .foreign
                .push(chain("output", "filter"));
        },
        "drops",
        Warning,
        "nft list",
    ),
    (
        |s| {
            s.filter
                .as_mut()
                .unwrap()
                .foreign
                .push(chain("output", "nat"));
        },
        "nat",
        Note,
        "",
    ),
    (
        |s| s.resolvers_here.push("127.0.0.53 (udp)".to_owned()),
        "port-53",
        Note,
        "",
    ),
];

const OF_THE_SERVICE: &[Fault] = &[
    (
        |s| s.user.passwd = "ann:x:7670:7670::/:/bin/sh\n".to_owned(),
        "engine",
        Bad,
        "useradd",
    ),
    (|s| s.user.groups.clear(), "group", Warning, "groupadd"),
    (|s| s.user.is_root = false, "member", Warning, "usermod"),
    (
        |s| {
            s.user.is_root = false;
            s.user.uid = 1000;
            s.user.passwd.push_str("alice:x:1000:1000::/:/bin/sh\n");
        },
        "member",
        Warning,
        "log out",
    ),
    (
        |s| s.service.settings = Err(SettingsFault::Wrong("unknown key".to_owned())),
        "settings",
        Bad,
        "correct it",
    ),
    (
        |s| s.service.settings = Err(SettingsFault::Unsafe),
        "settings",
        Bad,
        "chmod 644 /etc/vpnm/settings.toml",
    ),
    (
        |s| s.service.journal = JournalFacts::Absent,
        "journal",
        Warning,
        "restart vpnmd",
    ),
    (
        |s| s.service.journal = JournalFacts::Bad("the checksum is wrong".to_owned()),
        "journal",
        Bad,
        "cleanup",
    ),
    (|s| s.service.unit = None, "unit", Warning, "vpnm install"),
    (
        |s| {
            let unit = s.service.unit.as_mut().unwrap();
            unit.program = "/nowhere/vpnm".to_owned();
            unit.has_program = false;
        },
        "unit",
        Bad,
        "install",
    ),
    (
        |s| s.service.unit.as_mut().unwrap().is_enabled = false,
        "boot",
        Warning,
        "enable",
    ),
    (
        |s| s.service.directory = Some((1000, 0o755)),
        "directory",
        Bad,
        "chown",
    ),
    (
        |s| s.service.directory = Some((0, 0o777)),
        "directory",
        Bad,
        "chmod",
    ),
    (
        |s| s.daemon.as_mut().unwrap().version = "0.0.1".to_owned(),
        "daemon",
        Bad,
        "restart",
    ),
    (
        |s| {
            s.daemon.as_mut().unwrap().state = State::Blocked {
                cause: Failure::from(Code::Refused),
            }
        },
        "tunnel",
        Bad,
        "vpnm",
    ),
    (
        |s| s.daemon.as_mut().unwrap().repairs.count = 3,
        "repairs",
        Note,
        "",
    ),
    (
        |s| s.daemon.as_mut().unwrap().unkept = Some(Unkept::ServiceManager),
        "kept",
        Warning,
        "FileDescriptorStoreMax=",
    ),
    (
        |s| s.daemon.as_mut().unwrap().unkept = Some(Unkept::NoProcess),
        "kept",
        Warning,
        "journalctl -u vpnmd",
    ),
    (
        |s| s.daemon.as_mut().unwrap().unkept = Some(Unkept::FirstProcess),
        "kept",
        Warning,
        "process 1",
    ),
];

#[test]
fn each_fault_is_named_by_its_check_and_no_other_calls_it_a_problem() {
    for faults in [OF_THE_MACHINE, OF_THE_NETWORK, OF_OTHERS, OF_THE_SERVICE] {
        for (number, (make, name, expected, word)) in faults.iter().enumerate() {
            let mut survey = healthy();
            make(&mut survey);
            let (found, next) = severity(&survey, name);
            assert_eq!(found, *expected, "{name}, fault {number}");
            assert!(
                next.contains(word),
                "{name}: {next:?} does not say {word:?}"
            );
            let findings = findings(&survey);
            let problems = findings
                .checks
                .iter()
                .filter(|one| one.finding.severity == Bad);
            assert!(
                problems.map(|one| one.name).all(|one| one == *name),
                "{name}, fault {number}"
            );
            assert_eq!(findings.ok, *expected != Bad, "{name}, fault {number}");
        }
    }
}

#[test]
fn every_warning_and_every_problem_says_why_and_what_to_type() {
    let all = [OF_THE_MACHINE, OF_THE_NETWORK, OF_OTHERS, OF_THE_SERVICE];
    for (make, ..) in all.into_iter().flatten() {
        let mut survey = healthy();
        make(&mut survey);
        for check in findings(&survey).checks {
            let finding = check.finding;
            let wrong = finding.severity >= Warning;
            assert!(
                !wrong || !(finding.why.is_empty() || finding.next.is_empty()),
                "{}",
                check.name
            );
            assert!(!finding.found.is_empty(), "{}", check.name);
        }
    }
}

#[test]
fn a_copy_that_nobody_can_flush_makes_an_older_kernel_good() {
    let mut survey = healthy();
    let capabilities = &mut survey.filter.as_mut().unwrap().capabilities;
    capabilities.ownership = false;
    capabilities.holding = true;
    assert_eq!(severity(&survey, "filter").0, Severity::Good);
}

#[test]
fn the_egress_check_says_where_names_are_known_beforehand() {
    let found = |absent| {
        let mut survey = healthy();
        survey.filter.as_mut().unwrap().capabilities.absent = absent;
        let mut checks = findings(&survey).checks.into_iter();
        checks.find(|check| check.name == "egress").unwrap().finding
    };
    let (before, after) = (found(false), found(true));
    assert_eq!([before.severity, after.severity], [Severity::Good; 2]);
    assert!(!before.found.contains("comes back"), "{}", before.found);
    assert!(after.found.contains("comes back"), "{}", after.found);
}
