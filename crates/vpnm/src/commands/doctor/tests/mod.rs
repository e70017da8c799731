//! A machine where all is well.

mod faults;

use std::collections::BTreeMap;

use vpnm_api::Status;
use vpnm_host::{
    Asked, Capabilities, Discipline, Family, Keeper, KernelFacts, Link, LinkSettings, Lookup,
    Prefix, Resolver, Route, RouteKind, Rule, Selector,
};

use super::survey::{
    Filter, JournalFacts, MachineFacts, Network, ServiceFacts, Survey, UnitFacts, UserFacts,
};
use super::{PARTS, findings, render};
use crate::exit::Exit;
use crate::output::{Problem, Style};

fn link(index: u32, name: &str, kind: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        other_names: Vec::new(),
        kind: kind.to_owned(),
        master: None,
        carrier: true,
        leads_elsewhere: false,
        settings: LinkSettings {
            mtu: 1500,
            queue_length: 1000,
            up: true,
            own_address: Some(true),
        },
        tun: None,
    }
}

fn default_route(family: Family, link: u32) -> Route {
    let any = if family == Family::V4 {
        "0.0.0.0"
    } else {
        "::"
    };
    Route {
        table: 254,
        destination: Prefix::new(any.parse().unwrap(), 0),
        metric: 100,
        kind: RouteKind::Link {
            link,
            gateway: true,
            congestion: None,
        },
    }
}

fn rule(priority: u32, lookup: Lookup, protocol: u8) -> Rule {
    Rule {
        priority,
        family: Family::V4,
        selector: Selector::default(),
        lookup,
        protocol,
    }
}

fn network() -> Network {
    Network {
        links: vec![link(1, "lo", ""), link(2, "eth0", "")],
        addresses: Vec::new(),
        rules: vec![rule(32_766, Lookup::Table(254), 2)],
        routes: vec![default_route(Family::V4, 2), default_route(Family::V6, 2)],
        uplinks: vec![2],
        rules_before_ours: Vec::new(),
        no_free_address: false,
        kernel: KernelFacts {
            ipv6: true,
            ipv6_on_link: true,
            strict_reverse_path: false,
            cubic: true,
            local_resolver: false,
        },
    }
}

fn settings() -> BTreeMap<String, u64> {
    let known = [
        ("net/ipv4/ip_forward", 0),
        ("net/ipv6/conf/all/disable_ipv6", 0),
        ("net/ipv4/icmp_msgs_per_sec", 10_000),
        ("net/netfilter/nf_conntrack_count", 10),
        ("net/netfilter/nf_conntrack_max", 65_536),
    ];
    known.map(|(path, value)| (path.to_owned(), value)).into()
}

fn healthy() -> Survey {
    Survey {
        user: UserFacts {
            is_root: true,
            uid: 0,
            passwd: "root:x:0:0::/:/bin/sh\n_vpnm:x:990:990::/:/bin/false\n".to_owned(),
            groups: "root:x:0:\nvpnm:x:991:alice\n".to_owned(),
            status: "CapBnd:\t000001ffffffffff\nGid:\t0\t0\t0\t0\nGroups:\t0\n".to_owned(),
        },
        machine: MachineFacts {
            tun: Some(true),
            distrust: None,
            release: "6.12.5-amd64".to_owned(),
            seccomp: Some("kill_process kill_thread allow\n".to_owned()),
            modules: Some("capability,landlock,apparmor\n".to_owned()),
            now: 2_000_000_000,
            installed: Some(1_900_000_000),
            clock: Some(Discipline {
                is_kept: true,
                error: std::time::Duration::from_millis(250),
            }),
            has_systemd: true,
            can_sever: Some(true),
        },
        network: Some(network()),
        settings: settings(),
        filter: Some(Filter {
            capabilities: Capabilities {
                ownership: true,
                holding: false,
                egress: true,
                devices: true,
                absent: false,
            },
            foreign: Vec::new(),
        }),
        processes: vec!["systemd".to_owned()],
        resolver: Some(Resolver {
            keeper: Keeper::Unknown,
            asked: Asked::Network,
            conf: None,
            protection: None,
            has_resolved: false,
            network_manager: None,
            private_servers: Vec::new(),
        }),
        resolvers_here: Vec::new(),
        service: ServiceFacts {
            unit: Some(UnitFacts {
                file: "/etc/systemd/system/vpnmd.service".to_owned(),
                program: "/usr/bin/vpnm".to_owned(),
                has_program: true,
                is_enabled: true,
                blocks_at_boot: true,
            }),
            program: Some("/usr/bin/vpnm".to_owned()),
            directory: Some((0, 0o755)),
            settings: Ok(vpnm_daemon::settings::Settings::default()),
            journal: JournalFacts::Good,
            has_ufw: false,
        },
        daemon: Ok(Status::disconnected(env!("CARGO_PKG_VERSION"))),
    }
}

#[test]
fn where_all_is_well_nothing_is_said_to_be_wrong() {
    let findings = findings(&healthy());
    assert!(findings.ok);
    let text = render(&findings, Style::PLAIN);
    assert_eq!(text, include_str!("../golden/healthy.txt"));
}

#[test]
fn a_user_without_rights_learns_what_was_not_seen() {
    let mut survey = healthy();
    survey.user.is_root = false;
    survey.user.uid = 1000;
    survey.user.status = "CapBnd:\t000001ffffffffff\nGroups:\t4 991\n".to_owned();
    survey.filter = None;
    survey.machine.can_sever = None;
    survey.service.journal = JournalFacts::Unseen;
    survey.daemon = Err(Problem::new(
        Exit::Daemon,
        "daemon_unreachable",
        "the daemon cannot be reached",
        "it does not run",
        "sudo vpnm daemon",
    ));
    let text = render(&findings(&survey), Style::PLAIN);
    assert_eq!(text, include_str!("../golden/unprivileged.txt"));
}

#[test]
fn names_are_unique_and_fit_their_column() {
    let mut names: Vec<&str> = PARTS.into_iter().flatten().map(|(name, _)| *name).collect();
    assert!(names.iter().all(|name| name.len() < 11), "{names:?}");
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(all >= 45, "{all}");
}
