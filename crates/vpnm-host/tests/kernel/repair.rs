//! What others do to the host is seen, and undone.

use std::time::{Duration, Instant};

use crate::support::{
    Far, as_uid, assert_same, connect, device, go_on, guard, in_namespace, run, run_when_released,
    snapshot, tunnel,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use vpnm_host::{Change, Desired, Host, Watch, backstop};

/// Waits for the first change that is not of one of the kinds to pass over.
fn next(watch: &mut Watch, pass_over: &[Change]) -> Vec<Change> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 1,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&patience)).unwrap();
        let mut changes = watch.read().unwrap();
        changes.retain(|change| !pass_over.contains(change));
        if !changes.is_empty() {
            return changes;
        }
    }
    panic!("nothing was seen");
}

/// Breaks something, expects to see it, repairs it, and looks at the result.
fn is_repaired(host: &mut Host, desired: &Desired, seen: Change, breaking: &[&str]) {
    let mut watch = Watch::open().unwrap();
    for command in breaking {
        let (program, arguments) = command.split_once(' ').unwrap();
        run(program, arguments);
    }
    let changes = next(&mut watch, &[]);
    assert!(changes.contains(&seen), "{breaking:?}: {changes:?}");
    let plan = host.reach(desired, &mut go_on).unwrap();
    assert!(!plan.is_empty(), "{breaking:?} did no harm");
    host.verify(desired).unwrap();
}

/// What takes away the delivery to the tunnel's addresses, without its end.
const UNDELIVERED: [&str; 2] = [
    "-4 route del local 198.18.76.70",
    "-6 route del local fd76:706e:6d30::1",
];

/// Does something to a host that has a tunnel.
fn in_tunnel(act: impl FnOnce(Host, Desired) + Send + 'static) {
    in_namespace(move || {
        let _far = Far::connect();
        let mut host = Host::open().unwrap();
        let _device = device();
        let desired = tunnel(&mut host);
        host.reach(&desired, &mut go_on).unwrap();
        act(host, desired);
    });
}

#[test]
fn every_kind_of_damage_is_seen_and_repaired() {
    in_tunnel(|mut host, desired| {
        let mut repairs = |seen, breaking: &[&str]| {
            is_repaired(&mut host, &desired, seen, breaking);
        };
        repairs(
            Change::Rule,
            &["ip rule flush", "ip rule add pref 32766 lookup main"],
        );
        repairs(Change::Rule, &["ip -6 rule del pref 7618"]);
        repairs(
            Change::Rule,
            &["ip rule add pref 7600 lookup 99 protocol 118"],
        );
        repairs(Change::Route, &["ip route flush table 7670"]);
        repairs(
            Change::Route,
            &["ip -6 route del unreachable default table 7670"],
        );
        repairs(
            Change::Route,
            &["ip route add 203.0.113.0/24 dev eth0 table 7670"],
        );
        repairs(Change::Link, &["ip link set vpnm0 down"]);
        repairs(Change::Link, &["ip link set vpnm0 mtu 1400"]);
        repairs(Change::Address, &["ip addr del 198.18.76.70/32 dev vpnm0"]);
        for delivery in UNDELIVERED {
            let breaking = format!("ip {delivery} dev vpnm0 table local");
            repairs(Change::Route, &[&breaking]);
        }
        repairs(
            Change::Link,
            &["ip link add late0 type veth peer name late1"],
        );
        repairs(Change::Link, &["ip link del late0"]);
        repairs(
            Change::Link,
            &["ip link set eth0 down", "ip link set eth0 name wan0"],
        );
    });
}

#[test]
fn an_address_that_is_given_anew_takes_one_plan() {
    in_tunnel(|mut host, desired| {
        for delivery in UNDELIVERED {
            run("ip", &format!("{delivery} dev vpnm0 table local"));
            let plan = vpnm_host::plan(&host.observe().unwrap(), &desired).unwrap();
            assert!(plan.to_string().contains("+ address"), "{plan}");
            host.apply(&plan, &mut go_on).unwrap();
            host.verify(&desired).unwrap();
        }
    });
}

#[test]
fn a_name_is_told_of_when_it_is_new() {
    in_namespace(|| {
        let _far = Far::connect();
        let mut watch = Watch::open().unwrap();
        let mut is_new = |command: &str| {
            run("ip", command);
            let changes = next(&mut watch, &[]);
            assert!(changes.contains(&Change::Link), "{command}: {changes:?}");
            changes.contains(&Change::Name)
        };
        assert!(!is_new("link set eth0 mtu 1400"));
        assert!(is_new("tuntap add late0 mode tap"));
        assert!(!is_new("link set late0 mtu 1400"));
        assert!(is_new("link set late0 name late1"));
        assert!(!is_new("link del late1"));
        assert!(is_new("tuntap add late1 mode tap"));
    });
}

#[test]
fn a_foreign_flush_of_the_packet_filter_does_nothing_or_is_repaired() {
    in_namespace(|| {
        let mut host = Host::open().unwrap();
        let desired = Desired::Blocked(guard());
        host.reach(&desired, &mut go_on).unwrap();
        run("nft", "flush ruleset");
        let plan = host.reach(&desired, &mut go_on).unwrap();
        assert_eq!(plan.is_empty(), host.capabilities().ownership, "{plan}");
    });
}

#[test]
fn tables_without_an_owner_are_seen_to_go_and_made_anew() {
    in_namespace(|| {
        let desired = Desired::Blocked(guard());
        Host::open().unwrap().reach(&desired, &mut go_on).unwrap();
        let mut watch = Watch::open().unwrap();
        run_when_released("nft", "delete table inet vpnm");
        assert_eq!(next(&mut watch, &[]), [Change::Filter]);
        let mut host = Host::open().unwrap();
        let plan = host.reach(&desired, &mut go_on).unwrap();
        assert!(plan.to_string().starts_with("+ filter inet"), "{plan}");
    });
}

#[test]
fn a_changed_rule_is_noticed() {
    in_namespace(|| {
        run("ip", "link add eth0 type veth peer name far0");
        let desired = Desired::Blocked(guard());
        Host::open().unwrap().reach(&desired, &mut go_on).unwrap();
        for change in [
            "add rule inet vpnm output accept",
            "insert rule inet vpnm output ip daddr 203.0.113.9 accept",
            "add element inet vpnm servers4 { 1000 . 203.0.113.9 . tcp . 443 }",
            "add chain inet vpnm output { policy accept ; }",
            "add chain inet vpnm another",
            "add set inet vpnm another { type mark ; }",
            "flush chain inet vpnm output",
            "delete table netdev vpnm",
            "add table arp vpnm",
        ] {
            run_when_released("nft", change);
            let mut host = Host::open().unwrap();
            let plan = host.reach(&desired, &mut go_on).unwrap();
            assert!(!plan.to_string().contains("adopted"), "{change}: {plan}");
        }
    });
}

#[test]
fn what_does_not_concern_us_wakes_nobody() {
    in_namespace(|| {
        run("ip", "link add eth0 type veth peer name far0");
        run("ip", "link set eth0 up");
        let mut watch = Watch::open().unwrap();
        run("nft", "add table inet foreign");
        run("ip", "route add 203.0.113.0/24 dev eth0");
        assert_eq!(watch.read().unwrap(), []);
        run("ip", "route add default dev eth0");
        assert_eq!(next(&mut watch, &[]), [Change::Route]);
        assert_eq!(watch.read().unwrap(), []);
    });
}

#[test]
fn without_a_packet_filter_the_routes_still_block() {
    in_namespace(|| {
        let far = Far::connect();
        let before = snapshot();
        assert!(backstop(&guard()).unwrap() > 0);
        assert_eq!(backstop(&guard()).unwrap(), 0, "the second time");
        assert_eq!(run("nft", "list ruleset"), "");
        as_uid(1000, || {
            let refused = connect("203.0.113.9", 443).unwrap_err();
            let code = refused.raw_os_error();
            assert!(matches!(code, Some(libc::EHOSTUNREACH | libc::ENETUNREACH)));
        });
        assert_eq!(
            far.take().iter().filter(|frame| frame.is_probe()).count(),
            0
        );
        // With a filter again, everything is as it would have been.
        let mut host = Host::open().unwrap();
        let desired = Desired::Blocked(guard());
        let plan = host.reach(&desired, &mut go_on).unwrap();
        assert_eq!(plan.effects().len(), 1, "{plan}");
        host.cleanup(&mut go_on).unwrap();
        assert_same(&before, &snapshot());
    });
}
