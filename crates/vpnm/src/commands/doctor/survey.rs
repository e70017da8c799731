//! Everything the checks judge, as it was seen at one moment.

use std::collections::BTreeMap;

use vpnm_api::Status;
use vpnm_host::{
    Address, Capabilities, Discipline, Foreign, KernelFacts, Link, Resolver, Route, Rule,
};

use crate::output::Problem;

/// What was seen. What could not be looked at is `None`.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) user: UserFacts,
    pub(super) machine: MachineFacts,
    pub(super) network: Option<Network>,
    /// Numbers under `/proc/sys`, by their path there.
    pub(super) settings: BTreeMap<String, u64>,
    /// What only root may see of the packet filter.
    pub(super) filter: Option<Filter>,
    /// Names of the programs that run.
    pub(super) processes: Vec<String>,
    pub(super) resolver: Option<Resolver>,
    /// Addresses on which somebody answers queries.
    pub(super) resolvers_here: Vec<String>,
    pub(super) service: ServiceFacts,
    pub(super) daemon: Result<Status, Problem>,
}

/// Who asks.
#[derive(Debug)]
pub(super) struct UserFacts {
    pub(super) is_root: bool,
    pub(super) uid: u32,
    /// The text of `/etc/passwd`.
    pub(super) passwd: String,
    /// The text of `/etc/group`.
    pub(super) groups: String,
    /// The text of `/proc/self/status`.
    pub(super) status: String,
}

/// The machine itself.
#[derive(Debug)]
pub(super) struct MachineFacts {
    /// `Some(true)` if `/dev/net/tun` is a device, `None` if there is nothing.
    pub(super) tun: Option<bool>,
    /// Why the certificate authorities are of no use.
    pub(super) distrust: Option<String>,
    /// The kernel's release, as `uname -r` has it.
    pub(super) release: String,
    /// The actions that system-call filters can take.
    pub(super) seccomp: Option<String>,
    /// The security modules that are on.
    pub(super) modules: Option<String>,
    /// Seconds since 1970.
    pub(super) now: u64,
    /// When this program was written to the disk.
    pub(super) installed: Option<u64>,
    /// Who keeps the clock right.
    pub(super) clock: Option<Discipline>,
    /// Whether systemd runs the machine.
    pub(super) has_systemd: bool,
    /// The kernel can end connections; only root can ask.
    pub(super) can_sever: Option<bool>,
}

/// What any user sees of the network.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) links: Vec<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) rules: Vec<Rule>,
    /// Default routes of the main table, and those of table 7670.
    pub(super) routes: Vec<Route>,
    /// Links that lead to gateways.
    pub(super) uplinks: Vec<u32>,
    /// Rules of others that are asked before ours.
    pub(super) rules_before_ours: Vec<Rule>,
    /// Every address kept for the tunnel collides with one of this host.
    pub(super) no_free_address: bool,
    pub(super) kernel: KernelFacts,
}

/// What root sees of the packet filter.
#[derive(Debug)]
pub(super) struct Filter {
    pub(super) capabilities: Capabilities,
    pub(super) foreign: Vec<Foreign>,
}

/// What there is of the service.
#[derive(Debug)]
pub(super) struct ServiceFacts {
    pub(super) unit: Option<UnitFacts>,
    /// This program's file.
    pub(super) program: Option<String>,
    /// The owner and the mode of the directory of the socket.
    pub(super) directory: Option<(u32, u32)>,
    /// What the settings say, or why they are of no use.
    pub(super) settings: Result<vpnm_daemon::settings::Settings, SettingsFault>,
    pub(super) journal: JournalFacts,
    /// `ufw` is switched on in its settings.
    pub(super) has_ufw: bool,
}

/// Why the settings are of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SettingsFault {
    /// Only root may look.
    Unseen,
    /// Others than root can write them.
    Unsafe,
    /// They cannot be read, or say what is none; says why.
    Wrong(String),
}

/// What there is of the service manager's unit.
#[derive(Debug)]
pub(super) struct UnitFacts {
    /// Its file.
    pub(super) file: String,
    /// The program it starts, and whether there is one.
    pub(super) program: String,
    pub(super) has_program: bool,
    /// The daemon starts with the machine.
    pub(super) is_enabled: bool,
    /// The machine is blocked before its network comes up.
    pub(super) blocks_at_boot: bool,
}

/// The daemon's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JournalFacts {
    /// Only root may look.
    Unseen,
    /// Nothing was ever remembered.
    Absent,
    /// It can be read.
    Good,
    /// It cannot, for this reason.
    Bad(String),
}

impl Survey {
    /// A number under `/proc/sys`.
    pub(super) fn setting(&self, path: &str) -> Option<u64> {
        self.settings.get(path).copied()
    }

    /// The interfaces, other than the loopback and the tunnel, for which the setting
    /// of a family (`ipv4` or `ipv6`), or that for all, is at least this.
    pub(super) fn links_with(&self, family: &str, setting: &str, least: u64) -> Vec<&str> {
        let all = self.setting(&format!("net/{family}/conf/all/{setting}"));
        let links = self.network.iter().flat_map(|network| &network.links);
        let links =
            links.filter(|link| !["lo", vpnm_host::names::LINK].contains(&link.name.as_str()));
        let has = |link: &&Link| {
            let own = self.setting(&format!("net/{family}/conf/{}/{setting}", link.name));
            own.max(all).is_some_and(|value| value >= least)
        };
        links.filter(has).map(|link| link.name.as_str()).collect()
    }
}
