//! What is found on a host that bears on how it resolves names.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;
use rustix::fs::{AtFlags, CWD, IFlags, StatVfsMountFlags, StatxAttributes, StatxFlags};

use super::bus::Bus;
use super::conf::ResolvConf;
use super::resolved;

const FILE: &str = "/etc/resolv.conf";
const SWITCH: &str = "/etc/nsswitch.conf";
/// Where the servers of the links are told when programs ask this machine itself.
const UPLINKS: [&str; 2] = [
    "/run/systemd/resolve/resolv.conf",
    "/run/NetworkManager/no-stub-resolv.conf",
];
/// Longer files are read up to here.
const MAX_BYTES: u64 = 64 * 1024;

/// Where NetworkManager tells its modes.
const NM_NAME: &str = "org.freedesktop.NetworkManager";
const NM_DNS_PATH: &str = "/org/freedesktop/NetworkManager/DnsManager";
const NM_DNS: &str = "org.freedesktop.NetworkManager.DnsManager";

/// What is found on a host that bears on how it resolves names: plain data, so that
/// what is concluded from it can be tested on hosts that do not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Where `/etc/resolv.conf` leads, if it is a symbolic link.
    pub target: Option<PathBuf>,
    /// Its text; `None` if there is no file, or its link leads nowhere.
    pub text: Option<String>,
    /// The texts of the files in which systemd-resolved and NetworkManager tell the
    /// servers of the links.
    pub uplinks: Vec<String>,
    /// The text of `/etc/nsswitch.conf`.
    pub switch: String,
    /// What keeps the file from being replaced.
    pub protection: Option<Protection>,
    /// systemd-resolved is on the system bus.
    pub has_resolved: bool,
    /// How NetworkManager treats the resolver settings, if it is on the system bus.
    pub network_manager: Option<DnsModes>,
}

/// What keeps `/etc/resolv.conf` from being replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// It has the attribute `i` (chattr(1)).
    Immutable,
    /// It lies on a file system that cannot be written.
    ReadOnly,
    /// It is mounted there, as containers do.
    Mounted,
}

/// How NetworkManager treats the resolver settings (NetworkManager.conf(5), `dns` and
/// `rc-manager`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsModes {
    /// Who is told the servers: `default`, `systemd-resolved`, `dnsmasq`, `none`.
    pub mode: String,
    /// How the file is written: `symlink`, `file`, `resolvconf`, `unmanaged`.
    pub rc_manager: String,
}

impl Surroundings {
    /// Looks at this host. What cannot be read is as if it were not there.
    #[must_use]
    pub fn read() -> Self {
        let mut bus = Bus::open().ok();
        Self {
            target: fs::read_link(FILE).ok(),
            text: text(FILE).ok(),
            uplinks: UPLINKS
                .into_iter()
                .filter_map(|path| text(path).ok())
                .collect(),
            switch: text(SWITCH).unwrap_or_default(),
            protection: protection().ok().flatten(),
            has_resolved: bus.as_mut().is_some_and(|bus| has(bus, resolved::NAME)),
            network_manager: bus.as_mut().and_then(dns_modes),
        }
    }

    /// What the file says, if there is one.
    pub(super) fn conf(&self) -> Option<ResolvConf> {
        self.text.as_deref().map(ResolvConf::parse)
    }

    /// Whether the C library asks systemd-resolved before any server
    /// (nss-resolve(8)).
    pub(super) fn asks_by_library(&self) -> bool {
        let mut lines = self.switch.lines();
        let hosts = lines.find_map(|line| line.trim_start().strip_prefix("hosts:"));
        let mut services = hosts.unwrap_or_default().split_whitespace();
        services.find(|name| matches!(*name, "resolve" | "dns")) == Some("resolve")
    }
}

/// A descriptor that becomes readable when the files change that say how this host
/// resolves names: once, after which another is to be had.
///
/// # Errors
/// When the kernel refuses to watch `/etc`.
pub fn watch_resolver_files() -> io::Result<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let comes_and_goes = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
    inotify::add_watch(&watch, "/etc", comes_and_goes)?;
    let changes = WatchFlags::CLOSE_WRITE | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
    for path in UPLINKS.into_iter().chain([FILE]) {
        // Who is replaced loses a link (`ATTRIB`); who is not there cannot be watched.
        let _absent = inotify::add_watch(&watch, path, changes);
    }
    Ok(watch)
}

fn text(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn has(bus: &mut Bus, name: &str) -> bool {
    bus.has_owner(name).unwrap_or(false)
}

fn dns_modes(bus: &mut Bus) -> Option<DnsModes> {
    if !has(bus, NM_NAME) {
        return None;
    }
    let mut property = |name| {
        let value = bus.property(NM_NAME, NM_DNS_PATH, NM_DNS, name);
        value.and_then(|value| value.text()).unwrap_or_default()
    };
    Some(DnsModes {
        mode: property("Mode"),
        rc_manager: property("RcManager"),
    })
}

fn protection() -> io::Result<Option<Protection>> {
    let path = Path::new(FILE);
    let parent = path.parent().unwrap_or(path);
    if rustix::fs::statvfs(parent)?
        .f_flag
        .contains(StatVfsMountFlags::RDONLY)
    {
        return Ok(Some(Protection::ReadOnly));
    }
    let seen = rustix::fs::statx(CWD, FILE, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
    if seen.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(Some(Protection::Mounted));
    }
    if fs::symlink_metadata(path)?.is_file() {
        let flags = rustix::fs::ioctl_getflags(&File::open(path)?)?;
        if flags.contains(IFlags::IMMUTABLE) {
            return Ok(Some(Protection::Immutable));
        }
    }
    Ok(None)
}
