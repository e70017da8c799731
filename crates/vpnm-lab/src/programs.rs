//! Daemons that are not installed on the machine, since their packages would
//! change it: unpacked by `cargo xtask prepare`, shown to a host of a world.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::mount::MountFlags;
use vpnm_world::{Host, Process};

use crate::harness::Skip;
use crate::machine;

/// Where `cargo xtask prepare` puts the trees.
const TREES: &str = "/var/cache/vpnm-lab";
/// sing-box inside its directory.
const PROGRAM: &str = "sing-box";
/// Where the private bus of a host listens: the path programs expect.
const BUS: &str = "/run/dbus/system_bus_socket";
const BUS_CONFIG: &str = "/run/bus.conf";
/// Longest start of a program.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everybody may own every name: the host has no other programs.
const BUS_RULES: &str = r#"<busconfig>
<type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_type="signal"/><allow send_type="method_return"/><allow send_type="error"/>
<allow receive_type="method_call"/><allow receive_type="signal"/>
<allow receive_type="method_return"/><allow receive_type="error"/></policy></busconfig>"#;

/// Copies settings into the host's private `/etc`, in which directories may be
/// links to the machine's.
const SETTINGS: &str = r#"for from in "$TREE"/etc/*; do
    to=/etc/$(basename "$from")
    if [ -L "$to" ] && [ -d "$to/" ]; then
        machine=$(readlink -f "$to") && rm "$to" && cp -a "$machine" "$to" || exit 1
    fi
    cp -a "$from" /etc/ || exit 1
done"#;

/// Programs of Debian packages that the machine does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    tree: PathBuf,
}

impl Programs {
    /// docker, firewalld, iptables, ISC's DHCP, NetworkManager and systemd-resolved.
    ///
    /// # Errors
    ///
    /// [`Skip`] when they have not been unpacked.
    pub fn daemons() -> Result<Self> {
        Self::tree("daemons")
    }

    /// Debian's resolvconf.
    ///
    /// # Errors
    ///
    /// As [`Programs::daemons`].
    pub fn resolvconf() -> Result<Self> {
        Self::tree("resolvconf")
    }

    /// openresolv, which has the name of resolvconf.
    ///
    /// # Errors
    ///
    /// As [`Programs::daemons`].
    pub fn openresolv() -> Result<Self> {
        Self::tree("openresolv")
    }

    fn tree(name: &str) -> Result<Self> {
        Ok(Self {
            tree: prepared(name, "packages")?,
        })
    }

    /// Lays them over the host's `/usr`, and copies their settings into its
    /// `/etc`, for every process of the host that starts from now on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the mount.
    pub fn show(&self, host: &Host) -> Result<()> {
        host.run(|| self.overlay())
            .with_context(|| format!("showing {} on the {}", self.tree.display(), host.name()))?;
        let script = format!("TREE={}; {SETTINGS}", self.tree.display());
        machine::shell(host, &script).map(drop)
    }

    fn overlay(&self) -> io::Result<()> {
        let layers = format!("lowerdir={}:/usr", self.tree.join("usr").display());
        let layers = std::ffi::CString::new(layers).map_err(io::Error::other)?;
        let (name, flags) = ("overlay", MountFlags::RDONLY);
        Ok(rustix::mount::mount(
            name,
            "/usr",
            name,
            flags,
            layers.as_c_str(),
        )?)
    }
}

/// The path of sing-box.
///
/// # Errors
///
/// [`Skip`] when it has not been fetched.
pub fn sing_box() -> Result<PathBuf> {
    Ok(prepared("sing-box", PROGRAM)?.join(PROGRAM))
}

/// A part of what was prepared, if the file that says so is in it.
fn prepared(name: &str, stamp: &str) -> Result<PathBuf> {
    let path = Path::new(TREES).join(name);
    if path.join(stamp).exists() {
        Ok(path)
    } else {
        let text = format!("{} is not there: cargo xtask prepare", path.display());
        Err(Skip(text).into())
    }
}

/// Starts a message bus of the host's own, at the path of the system's.
///
/// # Errors
///
/// When it does not listen in time.
pub fn start_bus(host: &Host) -> Result<Process> {
    machine::need(&["dbus-daemon"])?;
    host.run(|| {
        std::fs::create_dir_all("/run/dbus")?;
        std::fs::write(BUS_CONFIG, BUS_RULES)
    })?;
    let bus = host
        .command("dbus-daemon")
        .args(["--nofork", "--nopidfile", "--config-file", BUS_CONFIG])
        .stderr(Stdio::null())
        .spawn()?;
    machine::wait_for("the message bus", PATIENCE, || {
        Ok(host
            .run(|| std::os::unix::net::UnixStream::connect(BUS))
            .ok())
    })?;
    Ok(bus)
}
