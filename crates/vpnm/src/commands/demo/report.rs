//! What the demo measured.

use std::net::IpAddr;

use serde::Serialize;

/// Everything that was measured, as `--json` prints it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// Whether nothing of it went wrong.
    pub(super) ok: bool,
    /// What went wrong, one sentence each.
    pub(super) failures: Vec<String>,
    /// Whether the daemon said "connected".
    pub(super) connected: bool,
    /// Milliseconds that `vpnm connect` took, from its start to its end.
    pub(super) connect_ms: u64,
    /// Who the web site saw before there was a tunnel.
    pub(super) direct_address: Option<IpAddr>,
    /// Who the web site saw through the tunnel.
    pub(super) exit_address: Option<IpAddr>,
    /// Whether every query for a name was carried by HTTPS, and came from the exit.
    pub(super) dns_over_tunnel: bool,
    /// The resolver that was asked through the tunnel.
    pub(super) resolver: Option<IpAddr>,
    /// Packets to port 53 on the wire while the tunnel was wanted.
    pub(super) plaintext_dns_packets: u64,
    /// Packets to port 53 on the wire for one name, before there was a tunnel.
    pub(super) direct_plaintext_dns_packets: u64,
    /// Packets outside the tunnel while the tunnel was wanted.
    pub(super) leaked_packets: u64,
    /// What they were.
    pub(super) leaks: Vec<String>,
    /// Packets the capture could not vouch for.
    pub(super) unaccounted_packets: u64,
    /// Packets the capture saw while the tunnel was wanted.
    pub(super) captured_packets: u64,
    /// Attempts to get a packet past the tunnel.
    pub(super) probes: u64,
    /// In how many ways.
    pub(super) probe_kinds: u64,
    /// Bits per second through the tunnel, to and from the internet.
    pub(super) throughput_up_bps: u64,
    pub(super) throughput_down_bps: u64,
    /// The same transfers without the tunnel.
    pub(super) direct_up_bps: u64,
    pub(super) direct_down_bps: u64,
    /// Milliseconds from the engine's death to the first page fetched again.
    pub(super) recovery_ms: u64,
    /// What the kernel says of the engine.
    pub(super) engine: Confinement,
    /// Whether links, addresses, routes, rules, firewall and resolver
    /// settings were, at the end, what they had been at the beginning.
    pub(super) host_restored: bool,
    /// Milliseconds that all of it took.
    pub(super) elapsed_ms: u64,
}

/// What the kernel says of a process (`/proc/PID/status`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Confinement {
    /// Its user.
    pub(super) uid: u32,
    /// Its effective capabilities, a mask.
    pub(super) capabilities: u64,
    /// Whether it can never gain more.
    pub(super) no_new_privileges: bool,
    /// Whether its system calls are filtered.
    pub(super) seccomp: bool,
}

impl Confinement {
    /// Reads the text of `/proc/PID/status`.
    pub(super) fn parse(status: &str) -> Option<Self> {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        Some(Self {
            uid: field("Uid")?.split_whitespace().nth(1)?.parse().ok()?,
            capabilities: u64::from_str_radix(field("CapEff")?, 16).ok()?,
            no_new_privileges: field("NoNewPrivs")? == "1",
            seccomp: field("Seccomp")? == "2",
        })
    }

    /// Whether it holds nothing worth stealing.
    pub(super) fn is_tight(&self) -> bool {
        self.uid != 0 && self.capabilities == 0 && self.no_new_privileges && self.seccomp
    }
}

impl Report {
    /// Judges what was measured. `node` is the address everything should have
    /// come from.
    pub(super) fn judge(&mut self, node: IpAddr) {
        let checks = [
            (
                self.connected,
                "the daemon did not say that it is connected",
            ),
            (
                self.exit_address == Some(node),
                "the web site did not see the node",
            ),
            (
                self.dns_over_tunnel,
                "a name was not resolved through the tunnel",
            ),
            (
                self.plaintext_dns_packets == 0,
                "DNS was readable on the wire",
            ),
            (self.leaked_packets == 0, "packets left outside the tunnel"),
            (
                self.unaccounted_packets == 0,
                "the capture missed packets, so its counts prove nothing",
            ),
            (self.probes > 0, "nothing was probed"),
            (
                self.engine.is_tight(),
                "the engine holds privileges it should not have",
            ),
            (
                self.host_restored,
                "the machine of the demo is not as it was before",
            ),
        ];
        self.failures.extend(
            checks
                .iter()
                .filter(|(holds, _)| !holds)
                .map(|(_, failure)| (*failure).to_owned()),
        );
        self.ok = self.failures.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tvpnm\nUid:\t7670\t7670\t7670\t7670\nCapEff:\t0000000000000000\n\
                          NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn a_confined_engine() {
        let engine = Confinement::parse(STATUS).unwrap();
        assert!(engine.is_tight());
        for (from, to) in [
            ("7670", "0"),
            ("CapEff:\t0", "CapEff:\t1"),
            ("Privs:\t1", "Privs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
        ] {
            let engine = Confinement::parse(&STATUS.replace(from, to)).unwrap();
            assert!(!engine.is_tight(), "{to}");
        }
        assert_eq!(Confinement::parse("Uid:\t0\n"), None);
    }

    #[test]
    fn nothing_measured_is_nothing_good() {
        let mut report = Report::default();
        report.judge([203, 0, 113, 10].into());
        assert!(!report.ok);
        assert_eq!(report.failures.len(), 6);
    }

    #[test]
    fn one_leak_is_a_failure() {
        let node = IpAddr::from([203, 0, 113, 10]);
        let good = Report {
            connected: true,
            exit_address: Some(node),
            dns_over_tunnel: true,
            probes: 1,
            engine: Confinement::parse(STATUS).unwrap(),
            host_restored: true,
            ..Report::default()
        };
        let mut report = good.clone();
        report.judge(node);
        assert!(report.ok, "{:?}", report.failures);
        let mut leaky = Report {
            leaked_packets: 1,
            ..good
        };
        leaky.judge(node);
        assert_eq!(leaky.failures, ["packets left outside the tunnel"]);
    }
}
