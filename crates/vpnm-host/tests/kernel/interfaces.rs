//! Which interfaces are trusted: by what they are, never by what others announce.

use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::{Far, device, go_on, guard, in_namespace, run, tunnel};
use vpnm_host::{Change, Desired, Host, Watch};

/// A process in a network namespace of its own; killed when it is dropped.
struct Elsewhere(Child);

impl Elsewhere {
    fn start() -> Self {
        let child = Command::new("unshare").args(["-n", "sleep", "60"]).spawn();
        let elsewhere = Self(child.unwrap());
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while elsewhere.place().is_none_or(|place| place == own) {
            assert!(Instant::now() < deadline, "it has no namespace of its own");
            std::thread::sleep(Duration::from_millis(5));
        }
        elsewhere
    }

    fn place(&self) -> Option<std::path::PathBuf> {
        std::fs::read_link(format!("/proc/{}/ns/net", self.0.id())).ok()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A bridge `docker0` with a container, a bridge `br1` whose port has its other end
/// here, and a container without a bridge.
fn networks() -> Elsewhere {
    let elsewhere = Elsewhere::start();
    let container = elsewhere.0.id();
    for arguments in [
        "link add docker0 type bridge",
        "link add br1 type bridge",
        "link add cable type veth peer name here",
        "link set cable master br1",
        &format!("link add port type veth peer name eth0 netns {container}"),
        "link set port master docker0",
        &format!("link add ve-box type veth peer name eth1 netns {container}"),
        "addr add 172.17.0.1/16 dev docker0",
        "addr add 172.18.0.1/16 dev br1",
    ] {
        run("ip", arguments);
    }
    for name in ["docker0", "br1", "cable", "here", "port", "ve-box"] {
        run("ip", &format!("link set {name} up"));
    }
    elsewhere
}

/// Whether the packet filter has the interface in the set; nft shows names in sets as
/// the words they take only when asked for everything.
fn is_in(set: &str, name: &str) -> bool {
    let list = run("nft", &format!("--debug=netlink list set inet vpnm {set}"));
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    let words = bytes
        .chunks(4)
        .map(|word| u32::from_ne_bytes(word.try_into().unwrap()));
    let words: Vec<String> = words.map(|word| format!("{word:08x}")).collect();
    list.contains(&words.join(" "))
}

#[test]
fn containers_are_inside_and_a_cable_with_both_ends_here_is_not() {
    in_namespace(|| {
        let _far = Far::connect();
        let _elsewhere = networks();
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        assert!(is_in("inside", "docker0") && is_in("served", "docker0"));
        assert!(is_in("served", "ve-box") && !is_in("inside", "ve-box"));
        assert!(!is_in("inside", "br1") && !is_in("served", "br1"));
        assert!(!is_in("served", "eth0") && is_in("uplinks", "eth0"));
        let ways: Vec<String> = host
            .observe()
            .unwrap()
            .ways_out()
            .map(|link| link.name.clone())
            .collect();
        for (name, leads_out) in [
            ("docker0", false),
            ("port", false),
            ("br1", true),
            ("here", true),
        ] {
            assert_eq!(
                ways.iter().any(|way| way == name),
                leads_out,
                "{name}: {ways:?}"
            );
        }
    });
}

#[test]
fn only_the_settings_have_hosts_behind_a_cable_served_and_never_where_this_one_goes_out() {
    in_namespace(|| {
        let _far = Far::connect();
        let _elsewhere = networks();
        let mut host = Host::open().unwrap();
        let mut guard = guard();
        guard.serve = ["br1", "eth0", "nowhere0"].map(str::to_owned).to_vec();
        host.reach(&Desired::Blocked(guard), &mut go_on).unwrap();
        assert!(is_in("served", "br1") && !is_in("inside", "br1"));
        assert!(!is_in("served", "eth0") && !is_in("served", "nowhere0"));
    });
}

#[test]
fn whatever_leads_to_a_gateway_once_is_outside_for_good() {
    in_namespace(|| {
        let _far = Far::connect();
        let _elsewhere = networks();
        let desired = Desired::Blocked(guard());
        let mut host = Host::open().unwrap();
        host.reach(&desired, &mut go_on).unwrap();
        let mut watch = Watch::open().unwrap();
        run("ip", "route add 10.9.0.0/16 via 172.17.0.2 table 99");
        std::thread::sleep(Duration::from_millis(20));
        assert!(watch.read().unwrap().contains(&Change::Route));
        host.reach(&desired, &mut go_on).unwrap();
        assert!(!is_in("inside", "docker0") && !is_in("served", "docker0"));
        run("ip", "route flush table 99");
        for family in ["", "-6 "] {
            run("ip", &format!("{family}route flush default"));
        }
        host.reach(&desired, &mut go_on).unwrap();
        assert!(is_in("uplinks", "docker0") && !is_in("inside", "docker0"));
        // The one that comes after knows it from the packet filter.
        drop(host);
        let mut next = Host::open().unwrap();
        next.reach(&desired, &mut go_on).unwrap();
        assert!(is_in("uplinks", "docker0") && !is_in("inside", "docker0"));
        assert!(is_in("uplinks", "eth0"));
    });
}

#[test]
fn an_address_for_a_time_only_means_that_somebody_gives_them() {
    in_namespace(|| {
        let _far = Far::connect();
        let _elsewhere = networks();
        run(
            "ip",
            "addr add 172.19.0.7/16 dev docker0 valid_lft 3600 preferred_lft 3600",
        );
        let mut host = Host::open().unwrap();
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        assert!(!is_in("inside", "docker0") && is_in("uplinks", "docker0"));
    });
}

#[test]
fn the_mark_on_answers_is_another_each_time_and_outlives_its_owner() {
    /// The mark in the rules; it has no meaning to anybody else.
    fn mark() -> String {
        let rules = run("nft", "list chain inet vpnm forward");
        let (_, rest) = rules.split_once("meta mark set ").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }
    in_namespace(|| {
        let _far = Far::connect();
        let _device = device();
        let reach = || {
            let mut host = Host::open().unwrap();
            let desired = tunnel(&mut host);
            host.reach(&desired, &mut go_on).unwrap();
            host
        };
        let host = reach();
        let first = mark();
        drop(host);
        let mut host = reach();
        assert_eq!(mark(), first, "what is on its way still arrives");
        host.cleanup(&mut go_on).unwrap();
        drop(host);
        let _device = device();
        let _host = reach();
        assert_ne!(mark(), first);
    });
}
