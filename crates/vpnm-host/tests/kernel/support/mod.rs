//! A small world for each test: this host in a network namespace, and a far side
//! in another one that records every frame that reaches it.

mod far;
mod probes;
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use vpnm_host::{Desired, Endpoint, Forwarding, Guard, Host, Lan, Point, Transport, Tunnel, tun};

pub(crate) use far::{Far, Frame};
pub(crate) use probes::{connect, probe_everything};
pub(crate) use process::{Flood, as_uid, die, flood, in_child, path_mtu, prefer_link};

/// The uid the engine has in these tests.
pub(crate) const ENGINE: u32 = 7670;
/// The port where the tests' resolver would listen.
pub(crate) const DNS_PORT: u16 = 5335;
/// The addresses of the proxy server, on the far side.
pub(crate) const SERVER: &str = "192.0.2.1";
pub(crate) const SERVER_6: &str = "2001:db8:2::1";

/// Runs a test on a thread of its own in a network namespace of its own; says so
/// and passes when this process may not make one, unless the environment demands it.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let _others_may_run = FORKS.read().unwrap_or_else(PoisonError::into_inner);
    in_own_namespace(test);
}

/// As [`in_namespace`], for a test that forks: a child holds the sockets of every
/// test that runs at the same time, and with them what these sockets own.
pub(crate) fn alone_in_namespace(test: impl FnOnce() + Send + 'static) {
    let _alone = FORKS.write().unwrap_or_else(PoisonError::into_inner);
    in_own_namespace(test);
}

static FORKS: RwLock<()> = RwLock::new(());

fn in_own_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(move || {
        if let Err(why) = process::new_network() {
            let required = std::env::var_os("VPNM_LAB").is_some_and(|v| v == "require");
            assert!(!required, "cannot make a network namespace: {why}");
            println!("SKIP cannot make a network namespace: {why}");
            return;
        }
        run("ip", "link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a program in the namespace of the calling thread and returns what it prints.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments}: {text}{errors}"
    );
    text
}

/// As [`run`], on what a dropped host has owned: a child of another test, on its way
/// from fork to exec, may hold the sockets of every test for a moment longer.
pub(crate) fn run_when_released(program: &str, arguments: &str) -> String {
    for _ in 0..200 {
        let output = Command::new(program)
            .args(arguments.split_whitespace())
            .output();
        let errors = output.expect("the program can be run").stderr;
        if errors.is_empty() {
            return String::new();
        }
        let refused = String::from_utf8_lossy(&errors).contains("not permitted");
        assert!(
            refused,
            "{program} {arguments}: {}",
            String::from_utf8_lossy(&errors)
        );
        thread::sleep(Duration::from_millis(10));
    }
    run(program, arguments)
}

/// Closes what holds a link and waits until the link is gone: a child of another test, on
/// its way from fork to exec, may hold it for a moment longer.
pub(crate) fn close(device: impl Sized, link: &str) {
    drop(device);
    for _ in 0..200 {
        let output = Command::new("ip")
            .args(["link", "show", "dev", link])
            .output();
        if !output.expect("the program can be run").status.success() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{link} is held by somebody");
}

/// The guard of the tests: two servers, reachable for the engine only.
pub(crate) fn guard() -> Guard {
    let endpoint = |ip: &str, transport| Endpoint {
        uid: ENGINE,
        ip: ip.parse().expect("a literal address"),
        transport,
        port: 443,
    };
    Guard {
        engine: ENGINE,
        endpoints: vec![
            endpoint(SERVER, Transport::Tcp),
            endpoint(SERVER, Transport::Udp),
            endpoint(SERVER_6, Transport::Tcp),
        ],
        lan: Lan::Blocked,
        forwarding: Forwarding::Tunnel,
        serve: Vec::new(),
        serve_uplink: Vec::new(),
    }
}

/// A tunnel with the addresses that are free here.
pub(crate) fn tunnel(host: &mut Host) -> Desired {
    let observed = host.observe().expect("the host can be observed");
    let addresses = observed.tunnel_addresses().expect("addresses are free");
    let tunnel = Tunnel {
        addresses,
        dns_port: DNS_PORT,
    };
    Desired::Tunnel(guard(), tunnel)
}

/// The host led into its tunnel, for as long as its device is open.
pub(crate) fn tunnelled() -> (Host, tun::Device) {
    let mut host = Host::open().expect("the host can be opened");
    let device = device();
    let desired = tunnel(&mut host);
    let reached = host.reach(&desired, &mut go_on);
    reached.expect("the tunnel can be set up");
    (host, device)
}

/// The tunnel device, opened as the daemon does.
pub(crate) fn device() -> tun::Device {
    let options = tun::Options {
        owner: ENGINE,
        multi_queue: false,
    };
    tun::open(options).expect("the device can be opened")
}

/// Never stops.
pub(crate) fn go_on(_: Point<'_>) -> bool {
    true
}

/// Everything a user could find changed, by the words of the judges.
pub(crate) fn snapshot() -> BTreeMap<String, String> {
    let mut all = objects();
    settings(Path::new("/proc/sys/net"), &mut all);
    all
}

/// Addresses, rules, routes and the packet filter, by the words of the judges.
pub(crate) fn objects() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for arguments in [
        "-j addr",
        "-j rule",
        "-j -6 rule",
        "-j route show table all",
        "-j -6 route show table all",
    ] {
        all.insert(format!("ip {arguments}"), run("ip", arguments));
    }
    all.insert("nft".to_owned(), run("nft", "-j list ruleset"));
    all
}

/// Every readable setting below a directory, but the counters among them.
fn settings(directory: &Path, all: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            settings(&path, all);
        } else if !name.contains("nf_conntrack") && !name.contains("stable_secret") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            all.insert(name, text);
        }
    }
}

/// Fails with what differs.
pub(crate) fn assert_same(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) {
    for (name, text) in before {
        assert_eq!(after.get(name), Some(text), "{name} changed");
    }
    let added = after.keys().find(|name| !before.contains_key(*name));
    assert_eq!(added, None, "something is left");
}
