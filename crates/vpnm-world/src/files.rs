//! A host's private files: its own `/etc`, `/run` and `/var/lib`, so that a
//! daemon runs there with its default paths and never sees, or changes, the
//! machine's.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::mount::{MountFlags, UnmountFlags};

/// Where the private `/etc` is put together before it is moved into place.
const STAGE: &str = "/run/stage";
/// Settings of the network namespace, each host's own.
const SETTINGS: &str = "/proc/sys";
/// The machine's `/etc`, inside the private one, for what is not replaced.
const MACHINE: &str = ".machine";

/// Entries of the machine's `/etc` that are not passed on: they would lead
/// programs to the machine's resolvers, users or trust.
const HIDDEN: [&str; 6] = [
    "ssl",
    "pki",
    "vpnm",
    "resolvconf",
    "NetworkManager",
    "nftables.conf",
];

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
alice:x:1000:1000:user in group vpnm:/tmp:/bin/sh
mallory:x:1001:1001:user in no group:/tmp:/bin/sh
_vpnm:x:7670:7670:vpnm engine:/nonexistent:/usr/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
nogroup:x:65534:
alice:x:1000:
mallory:x:1001:
_vpnm:x:7670:
vpnm:x:7671:alice
";
const NSSWITCH: &str = "\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
";

/// What a host's `/etc` says, beyond what it shares with the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    /// Content of `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
    /// Content of `/etc/hostname`.
    pub(crate) hostname: String,
    /// Trusted authorities, PEM: all the world trusts.
    pub(crate) authorities: String,
}

impl Files {
    /// Mounts everything; call it in a fresh, private mount namespace.
    pub(crate) fn mount(&self) -> io::Result<()> {
        if fs::metadata("/")?.uid() != 0 {
            own_root()?;
        }
        let settings = rustix::fs::statvfs(SETTINGS)?;
        if settings.f_flag.contains(StatVfsMountFlags::RDONLY) {
            // Containers protect the machine's settings, which these are not.
            let flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount_remount(SETTINGS, flags | MountFlags::NOEXEC, "")?;
        }
        tmpfs("/run", "mode=755")?;
        tmpfs("/var/lib", "mode=755")?;
        self.mount_etc()?;
        // Shows this namespace's interfaces; where a container forbids it,
        // the machine's view stays, which only listings notice.
        if let Err(error) = show_interfaces() {
            tracing::debug!(%error, "/sys stays the machine's");
        }
        Ok(())
    }

    fn mount_etc(&self) -> io::Result<()> {
        fs::create_dir(STAGE)?;
        tmpfs(STAGE, "mode=755")?;
        let stage = Path::new(STAGE);
        let machine = stage.join(MACHINE);
        fs::create_dir(&machine)?;
        rustix::mount::mount_bind_recursive("/etc", &machine)?;
        read_only(&machine)?;
        self.write(stage)?;
        link_the_rest(stage, &machine)?;
        rustix::mount::mount_move(STAGE, "/etc")?;
        fs::remove_dir(STAGE)
    }

    fn write(&self, etc: &Path) -> io::Result<()> {
        for directory in ["ssl/certs", "pki/tls/certs"] {
            fs::create_dir_all(etc.join(directory))?;
        }
        let texts = [
            ("passwd", PASSWD),
            ("group", GROUP),
            ("nsswitch.conf", NSSWITCH),
            ("hosts", "127.0.0.1 localhost\n::1 localhost\n"),
            ("resolv.conf", &self.resolv_conf),
            ("hostname", &self.hostname),
            ("ssl/certs/ca-certificates.crt", &self.authorities),
            ("pki/tls/certs/ca-bundle.crt", &self.authorities),
        ];
        for (name, text) in texts {
            let path = etc.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        }
        Ok(())
    }
}

/// Puts a directory of this user namespace's root in the place of `/`, with
/// everything in it that was there. The machine's own belongs to nobody here,
/// and who is careful trusts nothing below it.
fn own_root() -> io::Result<()> {
    tmpfs("/run", "mode=755")?;
    for entry in fs::read_dir("/")? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let inside = Path::new("/run").join(&name);
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, inside)?;
        } else if kind.is_dir() {
            fs::create_dir(&inside)?;
            if name != "run" {
                rustix::mount::mount_bind_recursive(entry.path(), inside)?;
            }
        }
    }
    fs::create_dir("/run/.old")?;
    rustix::process::pivot_root("/run", "/run/.old")?;
    rustix::mount::unmount("/.old", UnmountFlags::DETACH)?;
    fs::remove_dir("/.old")
}

/// Whatever the private directory lacks points at the machine's.
fn link_the_rest(etc: &Path, machine: &Path) -> io::Result<()> {
    for entry in fs::read_dir(machine)? {
        let name = entry?.file_name();
        let hidden = HIDDEN.iter().any(|hidden| name == *hidden);
        if !hidden && etc.join(&name).symlink_metadata().is_err() {
            symlink(Path::new("/etc").join(MACHINE).join(&name), etc.join(&name))?;
        }
    }
    Ok(())
}

/// Nothing done inside may write to the machine's `/etc`.
fn read_only(target: &Path) -> io::Result<()> {
    // A user namespace may not drop flags the mount came with.
    let had = rustix::fs::statvfs(target)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    for (bit, flag) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        if had.contains(bit) {
            flags |= flag;
        }
    }
    rustix::mount::mount_remount(target, flags, "")?;
    Ok(())
}

fn tmpfs(target: &str, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", target, "tmpfs", flags, options.as_c_str())?;
    Ok(())
}

fn show_interfaces() -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("sysfs", "/sys", "sysfs", flags, None)?;
    Ok(())
}
