//! From open to tunnel and back on a real kernel, whole and cut at every point.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use crate::support::{
    Far, alone_in_namespace, as_uid, assert_same, close, device, die, go_on, guard, in_child,
    in_namespace, objects, run, snapshot, tunnel, tunnelled,
};
use rustix::process::Signal;
use vpnm_host::{Desired, Host, HostError, Point, ReachError};

#[test]
fn the_kernel_holds_what_was_planned() {
    in_namespace(|| {
        let _far = Far::connect();
        let (_host, _device) = tunnelled();
        let rules = run("ip", "rule");
        for rule in [
            "7601:\tfrom all uidrange 7670-7670 lookup main proto 118",
            "7605:\tfrom all ipproto udp dport 53 lookup 7670 proto 118",
            "7618:\tfrom all lookup 7670 proto 118",
        ] {
            assert!(rules.contains(rule), "{rules}");
        }
        for family in ["", "-6 "] {
            let routes = run("ip", &format!("{family}route show table 7670"));
            assert!(routes.contains("default dev vpnm0 proto 118"), "{routes}");
            assert!(routes.contains("congctl cubic"), "{routes}");
            assert!(routes.contains("unreachable default"), "{routes}");
        }
        let link = run("ip", "-d link show dev vpnm0");
        for property in [
            "mtu 1500",
            "qlen 4096",
            "persist off",
            "vnet_hdr on",
            "user 7670",
            "UP",
        ] {
            assert!(link.contains(property), "{link}");
        }
        let rules = run("nft", "list ruleset");
        for rule in [
            "type filter hook output priority filter; policy drop;",
            "meta skuid . ip daddr . meta l4proto . th dport @servers4 accept",
            "hook egress device \"eth0\"",
            "arp daddr ip 198.18.76.70 drop",
            "elements = { 7670 . 2001:db8:2::1 . tcp . 443 }",
        ] {
            assert!(rules.contains(rule), "{rules}");
        }
    });
}

#[test]
fn applying_twice_changes_nothing() {
    in_namespace(|| {
        let _far = Far::connect();
        let mut host = Host::open().unwrap();
        let _device = device();
        let tunnel = tunnel(&mut host);
        let blocked = Desired::Blocked(guard());
        for desired in [&blocked, &tunnel, &blocked, &tunnel, &Desired::Open] {
            host.reach(desired, &mut go_on).unwrap();
            let again = host.reach(desired, &mut go_on).unwrap();
            assert!(again.is_empty(), "{again}");
        }
    });
}

#[test]
fn a_host_that_was_opened_again_is_the_host_it_was() {
    in_namespace(|| {
        let _far = Far::connect();
        let before = snapshot();
        let mut host = Host::open().unwrap();
        assert_same(&before, &snapshot());
        let device = device();
        let tunnel = tunnel(&mut host);
        host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        host.reach(&tunnel, &mut go_on).unwrap();
        host.cleanup(&mut go_on).unwrap();
        close(device, "vpnm0");
        assert_same(&before, &snapshot());
    });
}

#[test]
fn a_server_switch_changes_one_element_of_a_set() {
    in_namespace(|| {
        let far = Far::connect();
        let mut host = Host::open().unwrap();
        let mut guard = guard();
        host.reach(&Desired::Blocked(guard.clone()), &mut go_on)
            .unwrap();
        guard.endpoints.retain(|endpoint| endpoint.ip.is_ipv6());
        let plan = host.reach(&Desired::Blocked(guard), &mut go_on).unwrap();
        let text = plan.to_string();
        assert_eq!(
            text,
            "~ endpoints inet.servers4(+0 -2) inet.peers4(+0 -2) netdev.servers4(+0 -2)\n"
        );
        drop(far.take());
        assert!(
            as_uid(crate::support::ENGINE, || crate::support::connect(
                crate::support::SERVER,
                443
            ))
            .is_err()
        );
        assert_eq!(far.take(), []);
    });
}

#[test]
fn the_reverse_of_a_plan_undoes_it() {
    in_namespace(|| {
        let _far = Far::connect();
        let mut host = Host::open().unwrap();
        let _device = device();
        let blocked = Desired::Blocked(guard());
        host.reach(&blocked, &mut go_on).unwrap();
        let desired = tunnel(&mut host);
        let plan = host.reach(&desired, &mut go_on).unwrap();
        host.apply(&plan.reversed(), &mut go_on).unwrap();
        host.verify(&blocked).unwrap();
        assert!(matches!(
            host.verify(&desired),
            Err(ReachError::Drift { .. })
        ));
    });
}

/// Kills a child before and after every effect on the way to the tunnel and, from
/// there, to the open host. Each time the wire stays silent as soon as the filter
/// has been set, the next process gets everywhere, and removes all there is.
#[test]
fn killed_at_any_point_the_host_stays_closed_and_recovers() {
    alone_in_namespace(|| {
        let far = Far::connect();
        let before = snapshot();
        let objects_before = objects();
        let mut cut = 0;
        loop {
            let finished = in_child(|| way_in_and_out(cut));
            if finished {
                break;
            }
            if cut > 0 && Host::open().unwrap().observe().unwrap().is_filtered() {
                drop(far.take());
                crate::support::probe_everything();
                assert_eq!(far.take(), [], "cut {cut}");
            }
            let mut host = Host::open().unwrap();
            host.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
            let device = device();
            let desired = tunnel(&mut host);
            host.reach(&desired, &mut go_on).unwrap();
            drop(device);
            host.cleanup(&mut go_on).unwrap();
            assert_same(&objects_before, &objects());
            cut += 1;
        }
        assert_same(&before, &snapshot());
        assert!(cut > 80, "only {cut} places to be killed at");
    });
}

/// Every change there is; dies at the given point.
fn way_in_and_out(cut: usize) {
    let mut passed = 0;
    let mut progress = |_: Point<'_>| {
        if passed == cut {
            die(Signal::KILL);
        }
        passed += 1;
        true
    };
    let mut host = Host::open().unwrap();
    host.reach(&Desired::Blocked(guard()), &mut progress)
        .unwrap();
    let _device = device();
    let desired = tunnel(&mut host);
    host.reach(&desired, &mut progress).unwrap();
    host.cleanup(&mut progress).unwrap();
}

#[test]
fn a_plan_can_be_stopped_and_taken_up_again() {
    in_namespace(|| {
        let _far = Far::connect();
        let mut host = Host::open().unwrap();
        let blocked = Desired::Blocked(guard());
        let mut left = 5;
        let mut stop = |_: Point<'_>| {
            left -= 1;
            left > 0
        };
        let error = host.reach(&blocked, &mut stop).unwrap_err();
        assert!(matches!(error, ReachError::Apply(_)), "{error}");
        host.reach(&blocked, &mut go_on).unwrap();
    });
}

#[test]
fn a_tunnel_needs_its_link() {
    in_namespace(|| {
        let mut host = Host::open().unwrap();
        let desired = tunnel(&mut host);
        let error = host.reach(&desired, &mut go_on).unwrap_err();
        assert!(
            matches!(error, ReachError::Plan(HostError::NoLink)),
            "{error}"
        );
    });
}

#[test]
fn a_link_of_that_name_made_by_others_is_left_alone() {
    in_namespace(|| {
        run("ip", "link add vpnm0 type veth peer name other0");
        let mut host = Host::open().unwrap();
        let desired = tunnel(&mut host);
        let error = host.reach(&desired, &mut go_on).unwrap_err();
        assert!(
            matches!(error, ReachError::Plan(HostError::ForeignLink { .. })),
            "{error}"
        );
        let options = vpnm_host::tun::Options {
            owner: 1,
            multi_queue: false,
        };
        let error = vpnm_host::tun::open(options).unwrap_err();
        assert!(
            matches!(error, vpnm_host::tun::TunError::Foreign),
            "{error}"
        );
        host.cleanup(&mut go_on).unwrap();
        run("ip", "link show dev vpnm0");
    });
}

#[test]
fn a_persistent_device_of_others_is_left_as_it_is() {
    in_namespace(|| {
        run("ip", "tuntap add dev vpnm0 mode tun user 1000");
        let before = run("ip", "-d link show dev vpnm0");
        let options = vpnm_host::tun::Options {
            owner: crate::support::ENGINE,
            multi_queue: false,
        };
        let error = vpnm_host::tun::open(options).unwrap_err();
        assert!(
            matches!(error, vpnm_host::tun::TunError::Foreign),
            "{error}"
        );
        let mut host = Host::open().unwrap();
        host.cleanup(&mut go_on).unwrap();
        assert_eq!(run("ip", "-d link show dev vpnm0"), before);
    });
}

#[test]
fn further_queues_join_a_device_that_has_room_for_them() {
    in_namespace(|| {
        let options = vpnm_host::tun::Options {
            owner: crate::support::ENGINE,
            multi_queue: true,
        };
        let _first = vpnm_host::tun::open(options).unwrap();
        let _second = vpnm_host::tun::attach_queue(options).unwrap();
        let link = run("ip", "-d link show dev vpnm0");
        assert!(link.contains("multi_queue"), "{link}");
    });
}

#[test]
fn a_device_that_exists_has_the_queues_that_it_was_made_for() {
    in_namespace(|| {
        let open = |name, count: u32| {
            let count = std::num::NonZeroU32::new(count).unwrap();
            vpnm_host::tun::open_queues(name, 0, count).unwrap()
        };
        run("ip", "tuntap add dev single mode tun");
        run("ip", "tuntap add dev many mode tun multi_queue");
        for (name, asked, expected) in [("single", 4, 1), ("many", 4, 4), ("many", 1, 1)] {
            let queues = open(name, asked);
            assert_eq!(queues.devices.len(), expected, "{name} {asked}");
            assert!(!queues.steered, "{name} is left as it was");
        }
        for asked in [1, 4] {
            let queues = open("new", asked);
            assert_eq!(queues.devices.len(), usize::try_from(asked).unwrap());
            let link = run("ip", "-d link show dev new");
            assert_eq!(link.contains("multi_queue"), asked > 1, "{link}");
            assert!(link.contains("qlen 4096"), "{link}");
            close(queues, "new");
        }
    });
}

#[test]
fn a_host_without_ipv6_on_its_links_gets_a_tunnel_for_ipv4_and_a_block_for_the_rest() {
    in_namespace(|| {
        let far = Far::connect();
        for name in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            std::fs::write(path, "1").unwrap();
        }
        let before = snapshot();
        let (mut host, device) = tunnelled();
        drop(far.take());
        crate::support::probe_everything();
        assert_eq!(far.take(), []);
        host.cleanup(&mut go_on).unwrap();
        close(device, "vpnm0");
        assert_same(&before, &snapshot());
    });
}

#[test]
fn a_second_device_is_told_that_the_first_is_in_use() {
    in_namespace(|| {
        let _first = device();
        let options = vpnm_host::tun::Options {
            owner: crate::support::ENGINE,
            multi_queue: false,
        };
        let error = vpnm_host::tun::open(options).unwrap_err();
        assert!(matches!(error, vpnm_host::tun::TunError::Busy), "{error}");
    });
}

#[test]
fn what_one_daemon_owns_no_other_changes() {
    in_namespace(|| {
        let mut first = Host::open().unwrap();
        first.reach(&Desired::Blocked(guard()), &mut go_on).unwrap();
        if !first.capabilities().ownership {
            println!("SKIP this kernel knows no owners of tables");
            return;
        }
        let mut second = Host::open().unwrap();
        let error = second.cleanup(&mut go_on).unwrap_err();
        assert!(
            matches!(error, ReachError::Plan(HostError::Owned { .. })),
            "{error}"
        );
        drop(first);
        let plan = second
            .reach(&Desired::Blocked(guard()), &mut go_on)
            .unwrap();
        assert_eq!(plan.to_string(), "~ filter adopted\n");
    });
}

/// A daemon that ended while it read the packet filter: the kernel has more to say to it,
/// and whoever goes on with its socket does not take that for an answer.
#[test]
fn who_holds_the_socket_of_one_that_is_gone_keeps_its_tables() {
    in_namespace(|| {
        let desired = Desired::Blocked(guard());
        let mut first = Host::open().unwrap();
        first.reach(&desired, &mut go_on).unwrap();
        if !first.capabilities().ownership {
            println!("SKIP this kernel knows no owners of tables");
            return;
        }
        let held = first.owning_socket().unwrap().try_clone_to_owned().unwrap();
        // NFT_MSG_GETRULE of every table, as a dump.
        let mut dump = [20_u32.to_ne_bytes(), [7, 10, 1, 3]].concat();
        dump.extend([0; 12]);
        rustix::net::send(&held, &dump, rustix::net::SendFlags::empty()).unwrap();
        drop(first);
        run("nft", "flush ruleset");
        let deleted = std::process::Command::new("nft")
            .args(["delete", "table", "inet", "vpnm"])
            .output();
        assert!(!deleted.unwrap().status.success(), "it could be deleted");
        let mut next = Host::take_over(held).unwrap();
        let plan = next.reach(&desired, &mut go_on).unwrap();
        assert!(plan.is_empty(), "{plan}");
        next.cleanup(&mut go_on).unwrap();
        assert_eq!(run("nft", "list tables"), "");
    });
}

#[test]
fn only_a_socket_to_this_packet_filter_is_taken_over() {
    let (sender, elsewhere) = std::sync::mpsc::sync_channel(1);
    in_namespace(move || {
        let host = Host::open().unwrap();
        let socket = host.owning_socket();
        let socket = socket.map(|socket| socket.try_clone_to_owned().unwrap());
        sender.send(socket).unwrap();
    });
    in_namespace(move || {
        let of_another_network = elsewhere.recv().unwrap();
        let none = std::fs::File::open("/dev/null").unwrap().into();
        let other = UdpSocket::bind("0.0.0.0:0").unwrap().into();
        let others = [none, other].into_iter();
        for fd in others.chain(of_another_network) {
            let error = Host::take_over(fd).unwrap_err();
            assert!(matches!(error, HostError::Unfit), "{error}");
        }
    });
}

#[test]
fn what_comes_for_the_tunnel_is_delivered_as_soon_as_there_is_one() {
    const ROUNDS: usize = 50;
    in_namespace(|| {
        let _far = Far::connect();
        let mut host = Host::open().unwrap();
        for round in 0..ROUNDS {
            let _device = device();
            let desired = tunnel(&mut host);
            host.reach(&desired, &mut go_on).unwrap();
            let Desired::Tunnel(_, tunnel) = desired else {
                panic!("{desired:?}");
            };
            for ip in [
                IpAddr::from(tunnel.addresses.v4),
                tunnel.addresses.v6.into(),
            ] {
                let own = UdpSocket::bind((ip, 0)).unwrap();
                own.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                own.send_to(b"for myself", own.local_addr().unwrap())
                    .unwrap();
                let received = own.recv(&mut [0; 16]);
                assert!(received.is_ok(), "{ip}, round {round}: {received:?}");
            }
            host.reach(&Desired::Open, &mut go_on).unwrap();
        }
    });
}
