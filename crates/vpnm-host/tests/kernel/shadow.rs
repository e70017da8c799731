//! Kernels whose tables end with their owner, as Linux 5.12 to 6.8 do: the way that is
//! gone there is gone here as well.

use crate::support::{
    ENGINE, Far, SERVER, as_uid, assert_same, connect, device, go_on, guard, in_namespace,
    probe_everything, run, snapshot, tunnel,
};
use vpnm_host::{Capabilities, Desired, Host};

/// `None` where tables cannot be owned at all.
fn older() -> Option<Host> {
    let host = Host::open().unwrap();
    let capabilities = Capabilities {
        ownership: false,
        ..host.capabilities()
    };
    if !capabilities.holding {
        println!("SKIP this kernel knows no owners of tables");
        return None;
    }
    Some(host.limited_to(capabilities))
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
        drop(device);
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
