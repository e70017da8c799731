//! Kernels whose tables end with their owner, as Linux 5.12 to 6.8 do: the way that is
//! gone there is gone here as well.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{
    ENGINE, Far, Frame, SERVER, as_uid, assert_same, close, connect, device, flood, go_on, guard,
    in_namespace, probe_everything, run, snapshot, tunnel,
};
use vpnm_host::{Capabilities, Desired, Guard, Host, Lan};

/// Kernels between the egress hook and chains whose interfaces can change, and the last.
const OLDER: [(u32, u32); 2] = [(5, 16), (6, 8)];

/// `None` where tables cannot be owned at all.
fn older() -> Option<Host> {
    opened(None, OLDER[0])
}

fn opened(kept: Option<OwnedFd>, (major, minor): (u32, u32)) -> Option<Host> {
    let host = Host::open_with(kept, Capabilities::of_linux(major, minor)).unwrap();
    if !host.capabilities().holding {
        println!("SKIP this kernel knows no owners of tables");
        return None;
    }
    Some(host)
}

fn held(host: &Host) -> OwnedFd {
    host.owning_socket().unwrap().try_clone_to_owned().unwrap()
}

fn tables() -> Vec<String> {
    let text = run("nft", "list tables");
    text.lines().map(str::to_owned).collect()
}

/// How many tables there are, once no more than `wanted` are left: a child of another test,
/// on its way from fork to exec, may hold the sockets of every test for a moment longer.
fn tables_left(wanted: usize) -> usize {
    for _ in 0..200 {
        if tables().len() <= wanted {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    tables().len()
}

fn reaches_its_server() {
    as_uid(ENGINE, || connect(SERVER, 443).map(drop)).unwrap();
}

#[test]
fn a_flush_by_others_opens_nothing_until_it_is_repaired() {
    in_namespace(|| {
        let far = Far::connect();
        let before = snapshot();
        let Some(mut host) = older() else { return };
        let device = device();
        let desired = tunnel(&mut host);
        for desired in [Desired::Blocked(guard()), desired] {
            host.reach(&desired, &mut go_on).unwrap();
            reaches_its_server();
            for flush in ["flush ruleset", "delete table inet vpnm"] {
                run("nft", flush);
                assert!(!tables().contains(&"table inet vpnm".to_owned()), "{flush}");
                host.verify(&desired).unwrap_err();
                drop(far.take());
                probe_everything();
                assert_eq!(far.take(), [], "{flush}");
                reaches_its_server();
                host.reach(&desired, &mut go_on).unwrap();
                host.verify(&desired).unwrap();
                reaches_its_server();
            }
        }
        close(device, "vpnm0");
        host.reach(&Desired::Open, &mut go_on).unwrap();
        assert_same(&before, &snapshot());
    });
}

/// The endpoints and the interfaces of the copy are those of now.
#[test]
fn the_copy_follows() {
    in_namespace(|| {
        let far = Far::connect();
        let Some(mut host) = older() else { return };
        let mut guard = guard();
        let endpoints = std::mem::take(&mut guard.endpoints);
        let none = Desired::Blocked(guard.clone());
        host.reach(&none, &mut go_on).unwrap();
        as_uid(ENGINE, || connect(SERVER, 443)).unwrap_err();
        guard.endpoints = endpoints;
        let some = Desired::Blocked(guard);
        host.reach(&some, &mut go_on).unwrap();
        reaches_its_server();
        // An interface that goes takes the hooks on it along.
        run("ip", "link set eth0 name wan0");
        run("ip", "link set wan0 name eth0");
        host.reach(&some, &mut go_on).unwrap();
        run("ip", "link add late0 type veth peer name late1");
        host.reach(&some, &mut go_on).unwrap();
        run("ip", "link del late0");
        run("ip", "link add late0 type veth peer name late1");
        host.reach(&some, &mut go_on).unwrap();
        let listed = run("nft", "list table netdev vpnm-shadow");
        assert!(listed.contains("{ eth0, late0, late1 }"), "{listed}");
        host.reach(&none, &mut go_on).unwrap();
        run("nft", "flush ruleset");
        drop(far.take());
        as_uid(ENGINE, || connect(SERVER, 443)).unwrap_err();
        assert_eq!(far.take(), []);
    });
}

/// What a daemon that is dead held, and somebody holds for the next one.
#[test]
fn the_copy_holds_while_its_socket_is_held_and_the_next_goes_on_with_it() {
    for version in OLDER {
        in_namespace(move || {
            let far = Far::connect();
            let desired = Desired::Blocked(guard());
            let Some(mut host) = opened(None, version) else {
                return;
            };
            host.reach(&desired, &mut go_on).unwrap();
            let kept = held(&host);
            drop(host);
            run("nft", "flush ruleset");
            assert_eq!(tables_left(2), 2, "the copy alone");
            drop(far.take());
            probe_everything();
            assert_eq!(far.take(), []);
            reaches_its_server();
            drop(far.take());
            let mut next = opened(Some(kept.try_clone().unwrap()), version).unwrap();
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| flood("eth0", &over));
                let plan = next.reach(&desired, &mut go_on).unwrap();
                assert!(!plan.is_empty(), "what was flushed is back");
                // The copy alone while the tables are put back, the tables while it changes.
                for lan in [Lan::Allowed, Lan::Blocked].into_iter().cycle().take(40) {
                    let guard = Guard { lan, ..guard() };
                    run("nft", "flush ruleset");
                    next.reach(&Desired::Blocked(guard), &mut go_on).unwrap();
                }
                over.store(true, Ordering::Relaxed);
            });
            let probes = far.take().into_iter().filter(Frame::is_probe);
            assert_eq!(probes.collect::<Vec<_>>(), []);
            reaches_its_server();
            // Also where somebody goes on holding the socket nothing is left.
            next.cleanup(&mut go_on).unwrap();
            assert_eq!(tables(), Vec::<String>::new());
            drop(kept);
        });
    }
}

#[test]
fn the_copy_ends_with_its_process_and_the_block_does_not() {
    in_namespace(|| {
        let far = Far::connect();
        let Some(mut host) = older() else { return };
        let desired = Desired::Blocked(guard());
        host.reach(&desired, &mut go_on).unwrap();
        assert_eq!(tables().len(), 4);
        drop(host);
        assert_eq!(tables_left(2), 2);
        drop(far.take());
        probe_everything();
        assert_eq!(far.take(), []);
        // What is in place already is no reason to go without.
        let Some(mut next) = older() else { return };
        let plan = next.reach(&desired, &mut go_on).unwrap();
        assert!(plan.is_empty(), "{plan}");
        assert_eq!(tables().len(), 4);
        next.cleanup(&mut go_on).unwrap();
        assert_eq!(tables_left(0), 0);
    });
}
