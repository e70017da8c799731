//! What the machine and its kernel can do.

use std::time::Duration;

use super::Check;
use super::finding::Finding;
use super::survey::Survey;

pub(super) const CHECKS: &[Check] = &[
    ("device", device),
    ("trust", trust),
    ("kernel", kernel),
    ("filter", packet_filter),
    ("egress", egress),
    ("endings", endings),
    ("congestion", congestion),
    ("seccomp", seccomp),
    ("landlock", landlock),
    ("rights", capabilities),
    ("conntrack", conntrack),
    ("refusals", refusals),
    ("clock", clock),
];

/// The oldest kernel whose packet filter has everything that is used.
const OLDEST: (u32, u32) = (5, 10);
/// The first kernel that keeps the tables of a program that died from others.
const OWNERS: (u32, u32) = (6, 9);

fn device(survey: &Survey) -> Finding {
    let why = "the tunnel is a device that this file makes";
    match survey.machine.tun {
        Some(true) => Finding::good("/dev/net/tun is there"),
        Some(false) => Finding::problem(
            "/dev/net/tun is no device",
            why,
            "sudo rm /dev/net/tun && sudo mknod -m 666 /dev/net/tun c 10 200",
        ),
        None => Finding::problem(
            "this machine has no /dev/net/tun",
            why,
            "sudo modprobe tun; for a container: --device /dev/net/tun",
        ),
    }
}

fn trust(survey: &Survey) -> Finding {
    match &survey.machine.distrust {
        None => Finding::good("the system's certificate authorities can be read"),
        Some(reason) => Finding::problem(
            reason,
            "no server could be told from an impostor",
            "sudo apt-get install ca-certificates",
        ),
    }
}

/// The first two numbers of a release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn kernel(survey: &Survey) -> Finding {
    let release = &survey.machine.release;
    match version(release) {
        None => Finding::unknown(
            format!("the kernel calls itself {release:?}"),
            "that is no version",
        ),
        Some(version) if version < OLDEST => Finding::problem(
            format!("the kernel is {release}"),
            "its packet filter lacks what vpnm needs: 5.10 is the oldest that has it",
            "upgrade the kernel",
        ),
        Some(_) => Finding::good(format!("the kernel is {release}")),
    }
}

fn packet_filter(survey: &Survey) -> Finding {
    let release = version(&survey.machine.release);
    let Some(filter) = &survey.filter else {
        if survey.user.is_root {
            return Finding::problem(
                "the packet filter (nf_tables) cannot be used",
                "without it nothing can be blocked",
                "sudo modprobe nf_tables; in a container: --cap-add NET_ADMIN",
            );
        }
        return Finding::unknown(
            "the packet filter was not asked",
            "only root may: sudo vpnm doctor",
        );
    };
    if filter.capabilities.ownership {
        return Finding::good("the packet filter keeps vpnm's rules from others");
    }
    let since = if release >= Some(OWNERS) {
        "though the kernel is new enough"
    } else {
        "before 6.9"
    };
    if filter.capabilities.holding {
        return Finding::good(format!(
            "others can flush vpnm's rules, {since}, but not the daemon's copy of them"
        ));
    }
    Finding::note(
        format!("others can flush vpnm's rules, {since}"),
        "they are watched and put back, and the routes hold meanwhile",
    )
}

fn egress(survey: &Survey) -> Finding {
    match &survey.filter {
        None => Finding::unknown(
            "the egress hook was not asked for",
            "only root may: sudo vpnm doctor",
        ),
        Some(filter) if filter.capabilities.absent => Finding::good(
            "raw frames are filtered on their way out, also by a way to the internet that comes back",
        ),
        Some(filter) if filter.capabilities.egress => {
            Finding::good("raw frames are filtered on their way out")
        }
        Some(_) => Finding::warning(
            "this kernel has no egress hook",
            "raw frames that root sends past the IP stack are not held back",
            "use a kernel with CONFIG_NETFILTER_EGRESS (5.16 and later)",
        ),
    }
}

fn endings(survey: &Survey) -> Finding {
    match survey.machine.can_sever {
        None => Finding::unknown(
            "the ending of connections was not asked for",
            "only root may: sudo vpnm doctor",
        ),
        Some(true) => Finding::good("connections without a way can be ended at once"),
        Some(false) => Finding::note(
            "this kernel cannot end connections (CONFIG_INET_DIAG_DESTROY)",
            "a download whose tunnel died waits until its own program gives up",
        ),
    }
}

fn congestion(survey: &Survey) -> Finding {
    match &survey.network {
        None => Finding::unknown("the network was not seen", "the kernel refused to list it"),
        Some(network) if network.kernel.cubic => {
            Finding::good("connections into the tunnel use cubic")
        }
        Some(_) => Finding::note(
            "the congestion control cubic cannot be used",
            "connections into the tunnel use the system's, which may be slower",
        ),
    }
}

fn seccomp(survey: &Survey) -> Finding {
    match &survey.machine.seccomp {
        Some(actions) if actions.contains("kill_process") => {
            Finding::good("the engine's system calls can be filtered")
        }
        Some(_) | None => Finding::problem(
            "this kernel has no system-call filter that ends a process",
            "the engine, which reads what the network sends, will not run without",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn landlock(survey: &Survey) -> Finding {
    match &survey.machine.modules {
        None => Finding::unknown(
            "the security modules were not seen",
            "/sys/kernel/security cannot be read",
        ),
        Some(modules) if modules.contains("landlock") => {
            Finding::good("the engine can be kept from every file")
        }
        Some(_) => Finding::note(
            "Landlock is off",
            "the system-call filter alone keeps the engine from files",
        ),
    }
}

/// CAP_NET_ADMIN among the capabilities that this machine or container grants.
fn capabilities(survey: &Survey) -> Finding {
    const NET_ADMIN: u64 = 1 << 12;
    let bounds = survey
        .user
        .status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"));
    let bounds = bounds.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    match bounds {
        None => Finding::unknown(
            "the capabilities were not seen",
            "/proc/self/status cannot be read",
        ),
        Some(bits) if bits & NET_ADMIN != 0 => Finding::good("root may change the network"),
        Some(_) => Finding::problem(
            "not even root may change the network here",
            "this is a container or a service without CAP_NET_ADMIN",
            "for a container: --cap-add NET_ADMIN --device /dev/net/tun",
        ),
    }
}

fn conntrack(survey: &Survey) -> Finding {
    let count = survey.setting("net/netfilter/nf_conntrack_count");
    let most = survey.setting("net/netfilter/nf_conntrack_max");
    match (count, most) {
        (Some(count), Some(most)) if count.saturating_mul(10) > most.saturating_mul(8) => {
            Finding::warning(
                format!("{count} of {most} connections are tracked"),
                "when the table is full, the server's answers are dropped",
                format!(
                    "sudo sysctl net.netfilter.nf_conntrack_max={}",
                    most.saturating_mul(2)
                ),
            )
        }
        (Some(count), Some(most)) => {
            Finding::good(format!("{count} of {most} connections are tracked"))
        }
        _ => Finding::note(
            "connections are not tracked yet",
            "they will be while there is a tunnel",
        ),
    }
}

fn refusals(survey: &Survey) -> Finding {
    match survey.setting("net/ipv4/icmp_msgs_per_sec") {
        Some(limit) if limit < 100 => Finding::warning(
            format!("the kernel sends {limit} refusals a second at most"),
            "blocked programs wait instead of failing at once",
            "sudo sysctl net.ipv4.icmp_msgs_per_sec=10000",
        ),
        Some(limit) => Finding::good(format!(
            "blocked programs are told so, {limit} times a second"
        )),
        None => Finding::unknown(
            "the limit of refusals was not seen",
            "only the machine itself shows it, no container",
        ),
    }
}

fn clock(survey: &Survey) -> Finding {
    /// Clocks that were set a little back are no error.
    const DAY: u64 = 86_400;
    /// VMess servers take no clock that is off by more than 90 seconds.
    const OFF: Duration = Duration::from_secs(60);
    let set = "sudo timedatectl set-ntp true; or sudo date -s TIME";
    let now = survey.machine.now;
    let installed = survey.machine.installed.unwrap_or_default();
    if now.saturating_add(DAY) < installed {
        return Finding::problem(
            "the clock is behind the installation of this program",
            "certificates seem not to be valid yet, and VMess servers refuse more than 90 s",
            set,
        );
    }
    match survey.machine.clock {
        Some(clock) if clock.is_kept && clock.error <= OFF => Finding::good(format!(
            "the clock is kept right, to {} ms by its own account",
            clock.error.as_millis()
        )),
        Some(clock) if clock.is_kept => Finding::warning(
            format!("the clock may be off by {} s", clock.error.as_secs()),
            "VMess servers refuse more than 90 s",
            set,
        ),
        Some(_) => Finding::note(
            "nothing that the kernel knows of keeps the clock right",
            "VMess servers refuse more than 90 s, and certificates have their times: \
             sudo timedatectl set-ntp true",
        ),
        None => Finding::unknown(
            "the clock was compared with nothing",
            "only the machine itself shows who keeps it, no container",
        ),
    }
}
