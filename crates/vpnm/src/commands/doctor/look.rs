//! Looks at the machine, changing nothing.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use vpnm_daemon::journal::{self, Journal};
use vpnm_daemon::settings::{self, Settings};
use vpnm_host::{Discipline, Host, Observed, Resolver};

use super::survey::{
    Filter, JournalFacts, MachineFacts, Network, ServiceFacts, SettingsFault, Survey, UnitFacts,
    UserFacts,
};
use crate::control;
use crate::output::chain;

/// Looks at everything.
pub(super) fn survey() -> Survey {
    let user = user();
    let network = vpnm_host::look().ok().map(network);
    Survey {
        machine: machine(user.is_root),
        settings: kernel_settings(network.as_ref()),
        network,
        filter: user.is_root.then(filter).flatten(),
        processes: processes(),
        resolver: Some(Resolver::read()),
        resolvers_here: resolvers_here(),
        service: service(user.is_root),
        daemon: daemon(),
        user,
    }
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn user() -> UserFacts {
    let uid = rustix::process::geteuid();
    UserFacts {
        is_root: uid.is_root(),
        uid: uid.as_raw(),
        passwd: text("/etc/passwd"),
        groups: text("/etc/group"),
        status: text("/proc/self/status"),
    }
}

fn machine(is_root: bool) -> MachineFacts {
    let tun = fs::metadata("/dev/net/tun").ok();
    let own = std::env::current_exe().and_then(fs::metadata);
    MachineFacts {
        tun: tun.map(|found| found.file_type().is_char_device()),
        distrust: vpnm_engine::roots::load().err().map(|error| chain(&error)),
        release: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        seccomp: fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").ok(),
        modules: fs::read_to_string("/sys/kernel/security/lsm").ok(),
        now: seconds(SystemTime::now()),
        clock: Discipline::read(),
        installed: own.and_then(|found| found.modified()).ok().map(seconds),
        has_systemd: Path::new("/run/systemd/system").exists(),
        can_sever: is_root.then(|| vpnm_host::can_sever().ok()).flatten(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn network(seen: Observed) -> Network {
    Network {
        rules_before_ours: seen.rules_before_ours().cloned().collect(),
        no_free_address: seen.tunnel_addresses().is_err(),
        links: seen.links,
        addresses: seen.addresses,
        rules: seen.rules,
        routes: seen.routes,
        uplinks: seen.uplinks.into_iter().collect(),
        kernel: seen.kernel,
    }
}

/// Settings of the network, and those of each interface, as far as checks know them.
fn kernel_settings(network: Option<&Network>) -> BTreeMap<String, u64> {
    const GENERAL: [&str; 9] = [
        "net/ipv4/ip_forward",
        "net/ipv6/conf/all/forwarding",
        "net/ipv6/conf/all/disable_ipv6",
        "net/ipv4/icmp_msgs_per_sec",
        "net/ipv4/ip_nonlocal_bind",
        "net/netfilter/nf_conntrack_count",
        "net/netfilter/nf_conntrack_max",
        "net/ipv4/tcp_mtu_probing",
        "user/max_user_namespaces",
    ];
    const EACH: [(&str, &str); 5] = [
        ("ipv4", "rp_filter"),
        ("ipv4", "ignore_routes_with_linkdown"),
        ("ipv6", "ignore_routes_with_linkdown"),
        ("ipv4", "route_localnet"),
        ("ipv6", "use_tempaddr"),
    ];
    let links = network.iter().flat_map(|network| &network.links);
    let links = links.map(|link| link.name.as_str());
    let each = links.chain(["all"]).flat_map(|link| {
        EACH.map(|(family, setting)| format!("net/{family}/conf/{link}/{setting}"))
    });
    let paths = GENERAL.map(str::to_owned).into_iter().chain(each);
    let read = |path: String| {
        let number = text(&format!("/proc/sys/{path}")).trim().parse().ok()?;
        Some((path, number))
    };
    paths.filter_map(read).collect()
}

fn filter() -> Option<Filter> {
    let mut host = Host::open().ok()?;
    Some(Filter {
        capabilities: host.capabilities(),
        foreign: host.foreign_chains().ok()?,
    })
}

/// The names of the programs that run, once each.
fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The addresses of this machine on which queries are answered.
fn resolvers_here() -> Vec<String> {
    const TABLES: [(&str, &str); 4] = [
        ("udp", "udp"),
        ("udp", "udp6"),
        ("tcp", "tcp"),
        ("tcp", "tcp6"),
    ];
    let mut found = Vec::new();
    for (protocol, table) in TABLES {
        let sockets = text(&format!("/proc/self/net/{table}"));
        let answered = answered(&sockets);
        found.extend(answered.iter().map(|ip| format!("{ip} ({protocol})")));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The local addresses that have port 53 in one of the kernel's tables of sockets.
fn answered(sockets: &str) -> Vec<IpAddr> {
    let lines = sockets.lines().skip(1);
    let locals = lines.filter_map(|line| line.split_whitespace().nth(1));
    let on_port = locals.filter_map(|local| local.strip_suffix(":0035"));
    on_port.filter_map(address).collect()
}

/// An address as these tables have it: words of this machine, each as one number.
fn address(words: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..words.len()).step_by(8) {
        let word = u32::from_str_radix(words.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    if let Some(v4) = bytes.first_chunk::<4>().filter(|_| bytes.len() == 4) {
        return Some(IpAddr::from(*v4));
    }
    let v6 = bytes.first_chunk::<16>().filter(|_| bytes.len() == 16);
    v6.map(|v6| IpAddr::from(*v6))
}

/// The unit of the service, wherever the system keeps units.
fn unit() -> Option<UnitFacts> {
    const PLACES: [&str; 3] = ["/etc", "/usr/lib", "/lib"];
    let mut files = PLACES
        .map(|place| format!("{place}/systemd/system/vpnmd.service"))
        .into_iter();
    let (text, file) = files.find_map(|file| Some((fs::read_to_string(&file).ok()?, file)))?;
    let starts = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let program = starts.unwrap_or_default().split_whitespace().next();
    let program = program.unwrap_or_default().to_owned();
    let starts_with_machine = |unit: &str| {
        let link = format!("/etc/systemd/system/sysinit.target.wants/{unit}");
        fs::symlink_metadata(link).is_ok()
    };
    Some(UnitFacts {
        file,
        has_program: Path::new(&program).exists(),
        program,
        is_enabled: starts_with_machine("vpnmd.service"),
        blocks_at_boot: starts_with_machine("vpnm-boot.service"),
    })
}

fn service(is_root: bool) -> ServiceFacts {
    let program = std::env::current_exe().ok();
    let directory = fs::metadata("/run/vpnm").ok();
    ServiceFacts {
        unit: unit(),
        program: program.and_then(|path| path.to_str().map(str::to_owned)),
        directory: directory.map(|found| (found.uid(), found.mode() & 0o7777)),
        settings: owner_settings(),
        journal: journal(is_root),
        has_ufw: text("/etc/ufw/ufw.conf")
            .lines()
            .any(|line| line.trim() == "ENABLED=yes"),
    }
}

/// The settings as the daemon would read them, whoever asks.
fn owner_settings() -> Result<Settings, SettingsFault> {
    let fault = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            SettingsFault::Unseen
        } else {
            SettingsFault::Wrong(error.to_string())
        }
    };
    let found = match fs::metadata(settings::FILE) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Settings::default());
        }
        found => found.map_err(fault)?,
    };
    if found.uid() != 0 || found.mode() & 0o022 != 0 {
        return Err(SettingsFault::Unsafe);
    }
    let text = fs::read_to_string(settings::FILE).map_err(fault)?;
    Settings::parse(&text).map_err(|error| SettingsFault::Wrong(chain(&error)))
}

fn journal(is_root: bool) -> JournalFacts {
    if !is_root {
        return JournalFacts::Unseen;
    }
    match Journal::at(journal::DIRECTORY).load() {
        Ok(None) => JournalFacts::Absent,
        Ok(Some(_)) => JournalFacts::Good,
        Err(error) => JournalFacts::Bad(chain(&error)),
    }
}

fn daemon() -> Result<vpnm_api::Status, crate::output::Problem> {
    let mut tunnel = control::open()?;
    let status = tunnel.status();
    status.map_err(|error| control::refused("the daemon did not say how things are", error))
}

#[cfg(test)]
mod tests {
    use super::{IpAddr, answered};

    #[test]
    fn who_answers_queries_is_found_over_both_families() {
        let [a, b] = [0x7f00_0035_u32, 1].map(|word| u32::from_ne_bytes(word.to_be_bytes()));
        let sockets = format!(
            "  sl  local_address rem_address   st\n\
             0: {a:08X}:0035 00000000:0000 07\n\
             1: {a:08X}:1F90 00000000:0000 07\n\
             2: 000000000000000000000000{b:08X}:0035 0:0000 0A\n\
             3: 1234567:0035 0:0000 0A\n\
             4: 0:0035 0:0000 0A\n"
        );
        let expected: [IpAddr; 2] = ["127.0.0.53", "::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(answered(&sockets), expected);
    }
}
