//! Ways out that come back under a name they had or could have, while nobody plans
//! anything.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Far, Flood, go_on, guard, in_namespace, run};
use vpnm_host::{Capabilities, Desired, Host};

/// The last kernel that takes no name that nobody has.
const OLDER: (u32, u32) = (6, 15);

fn blocked() -> Desired {
    Desired::Blocked(guard())
}

/// A blocked host whose way out had two names and has the second now.
fn renamed(far: &Far, most: Capabilities) -> Host {
    let mut host = Host::open_with(None, most).unwrap();
    run("ip", "link property add dev eth0 altname enp1s0");
    host.reach(&blocked(), &mut go_on).unwrap();
    run("ip", "link set eth0 name wan0");
    host.reach(&blocked(), &mut go_on).unwrap();
    drop(far.take());
    host
}

/// Has frames sent past the IP stack for as long as something happens, and a while.
fn flooded(flood: &Flood, happens: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| flood.until(&over));
        happens();
        std::thread::sleep(Duration::from_millis(50));
        over.store(true, Ordering::Relaxed);
    });
}

fn renamed_to_and_fro(far: &Far) -> usize {
    flooded(&Flood::by("wan0"), || {
        for _ in 0..20 {
            run("ip", "link set wan0 name eth0");
            run("ip", "link set eth0 name wan0");
        }
        run("ip", "link set wan0 name eth0");
    });
    far.take().len()
}

fn renamed_to_its_other_name(far: &Far) -> usize {
    flooded(&Flood::by("wan0"), || {
        run("ip", "link property del dev wan0 altname enp1s0");
        run("ip", "link set wan0 name enp1s0");
    });
    far.take().len()
}

/// The number of the calling thread, by which others find its network namespace.
fn thread() -> String {
    rustix::thread::gettid().to_string()
}

fn moved_out_and_in(far: &Far) -> usize {
    let (here, there) = (thread(), far.does(thread));
    run("ip", &format!("link set wan0 netns {there}"));
    far.does(move || {
        run("ip", "link set wan0 name eth0");
        run("ip", &format!("link set eth0 netns {here}"));
    });
    flooded(&Flood::by("eth0"), || {
        run("ip", "link set eth0 up");
    });
    far.take().len()
}

/// How many frames leave by a way out that comes back, on a kernel that goes no further.
fn frames(
    most: Capabilities,
    comes_back: impl Fn(&Far) -> usize + Send + 'static,
) -> Option<usize> {
    let (result, outcome) = std::sync::mpsc::sync_channel(1);
    in_namespace(move || {
        let far = Far::connect();
        let mut host = renamed(&far, most);
        if most == Capabilities::ALL && !host.capabilities().absent {
            println!("SKIP this kernel takes no name that nobody has");
            return;
        }
        result.send(comes_back(&far)).unwrap();
        host.reach(&blocked(), &mut go_on).unwrap();
        host.verify(&blocked()).unwrap();
        host.cleanup(&mut go_on).unwrap();
        assert_eq!(run("nft", "list ruleset"), "");
    });
    outcome.recv().ok()
}

fn assert_only_older_kernels_leak(comes_back: fn(&Far) -> usize) {
    let Some(left) = frames(Capabilities::ALL, comes_back) else {
        return;
    };
    assert_eq!(left, 0);
    let (major, minor) = OLDER;
    let left = frames(Capabilities::of_linux(major, minor), comes_back);
    assert!(left.is_some_and(|left| left > 0), "the flood is blind");
}

#[test]
fn nothing_leaves_by_a_way_out_that_gets_a_name_back() {
    assert_only_older_kernels_leak(renamed_to_and_fro);
}

#[test]
fn nothing_leaves_by_a_way_out_that_takes_another_of_its_names() {
    assert_only_older_kernels_leak(renamed_to_its_other_name);
}

#[test]
fn nothing_leaves_by_a_way_out_that_was_elsewhere() {
    assert_only_older_kernels_leak(moved_out_and_in);
}

fn renamed_by_bytes(from: &[u8], to: &[u8]) {
    let words: [&[u8]; 6] = [b"link", b"set", b"dev", from, b"name", to];
    let status = Command::new("ip")
        .args(words.map(OsStr::from_bytes))
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn nothing_leaves_by_a_way_out_whose_name_is_no_text() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        host.reach(&blocked(), &mut go_on).unwrap();
        let frames = Flood::by("eth0");
        let mut name: &[u8] = b"eth0";
        for next in [&b"eth\xff"[..], &[0xff; 15], b"eth\x1b[7m", b"eth*"] {
            renamed_by_bytes(name, next);
            name = next;
            drop(far.take());
            flooded(&frames, || ());
            assert!(!far.take().is_empty(), "the flood is blind");
            host.reach(&blocked(), &mut go_on).unwrap();
            drop(far.take());
            flooded(&frames, || ());
            assert_eq!(far.take().len(), 0, "{name:?}");
            assert!(host.reach(&blocked(), &mut go_on).unwrap().is_empty());
        }
        assert!(host.observe().unwrap().sees_all_frames());
        host.cleanup(&mut go_on).unwrap();
    });
}

#[test]
fn the_next_daemon_keeps_the_names() {
    in_namespace(|| {
        let far = Far::connect();
        let host = renamed(&far, Capabilities::ALL);
        let knows = host.capabilities().absent;
        drop(host);
        let mut host = Host::open().unwrap();
        host.reach(&blocked(), &mut go_on).unwrap();
        let chain = run("nft", "list chain netdev vpnm egress");
        assert_eq!(chain.contains("{ enp1s0, eth0, wan0 }"), knows, "{chain}");
        assert!(chain.contains("wan0"), "{chain}");
    });
}

/// The names that the chain sees, as nft lists them.
fn seen() -> Vec<String> {
    let chain = run("nft", "list chain netdev vpnm egress");
    let names = chain.split_once("devices = { ").unwrap().1;
    let names = names.split_once(" }").unwrap().0.split(", ");
    names.map(str::to_owned).collect()
}

#[test]
fn what_never_led_out_pushes_no_name_out() {
    in_namespace(|| {
        let far = Far::connect();
        for number in 0..20 {
            run("ip", &format!("tuntap add mode tap name tap{number}"));
        }
        let host = renamed(&far, Capabilities::ALL);
        if !host.capabilities().absent {
            println!("SKIP this kernel takes no name that nobody has");
            return;
        }
        drop(host);
        for number in 0..20 {
            run("ip", &format!("link del tap{number}"));
        }
        run("ip", "link set wan0 name lan0");
        for _ in 0..3 {
            let mut host = Host::open().unwrap();
            host.reach(&blocked(), &mut go_on).unwrap();
            assert_eq!(seen(), ["enp1s0", "eth0", "lan0", "wan0"]);
        }
    });
}
