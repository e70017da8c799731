//! Debian's programs that must not be installed, since their packages change
//! the machine's network or names: downloaded and unpacked into trees, which
//! the lab lays over `/usr` and `/etc` in namespaces of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::output;
use crate::run::{check, is_installed, is_root};

/// Where the trees are; `vpnm_lab::programs` looks for them here.
pub(crate) const TREES: &str = "/var/cache/vpnm-lab";

/// A tree, and the packages in it with what they need. Two packages that have
/// a file in common go into two trees.
const PACKAGES: &[(&str, &[&str])] = &[
    (
        "daemons",
        &[
            "docker.io",
            "firewalld",
            "iptables",
            "isc-dhcp-client",
            "isc-dhcp-server",
            "network-manager",
            "resolvconf",
            "systemd-resolved",
        ],
    ),
    ("openresolv", &["openresolv"]),
];

/// Names that maintainer scripts would give to one program.
const ALTERNATIVES: &[&str] = &[
    "iptables",
    "iptables-restore",
    "iptables-save",
    "ip6tables",
    "ip6tables-restore",
    "ip6tables-save",
];

/// Fetches the trees that are not there yet, if it may.
pub(crate) fn run() -> Result<()> {
    if !is_root() || !is_installed("apt-get") {
        return Ok(());
    }
    for (name, packages) in PACKAGES {
        let tree = Path::new(TREES).join(name);
        let list = packages.join("\n");
        if fs::read_to_string(stamp(&tree)).is_ok_and(|found| found == list) {
            continue;
        }
        output::line(&format!("unpacking for the lab: {}", packages.join(" ")));
        let new = Path::new(TREES).join(format!("{name}.{}", std::process::id()));
        let made = make(&new, packages).with_context(|| format!("unpacking {name}"));
        if made.is_ok() {
            fs::write(stamp(&new), list)?;
            replace(&new, &tree)?;
        }
        fs::remove_dir_all(&new).ok();
        made?;
    }
    Ok(())
}

fn stamp(tree: &Path) -> PathBuf {
    tree.join("packages")
}

/// Puts `new` in the place of `tree`; whoever made it first wins.
pub(crate) fn replace(new: &Path, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    Ok(fs::rename(new, tree)?)
}

fn make(tree: &Path, packages: &[&str]) -> Result<()> {
    let archives = tree.join("archives");
    fs::create_dir_all(archives.join("partial"))?;
    for package in packages {
        // One by one: what conflicts when installed may lie side by side.
        if download(&archives, package).is_err() {
            check(&mut apt(&["update"]))?;
            download(&archives, package)?;
        }
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(tree.join("usr").join(name))?;
        symlink(Path::new("usr").join(name), tree.join(name))?;
    }
    for entry in fs::read_dir(&archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack(&path, tree)?;
        }
    }
    if tree.join("usr/sbin/xtables-nft-multi").exists() {
        for name in ALTERNATIVES {
            symlink("xtables-nft-multi", tree.join("usr/sbin").join(name))?;
        }
    }
    Ok(fs::remove_dir_all(archives)?)
}

/// The package and what it needs of what is not installed; nothing is changed.
fn download(into: &Path, package: &str) -> Result<()> {
    let mut command = apt(&["install", "--download-only", "--yes"]);
    command
        .args(["--no-install-recommends", "--option"])
        .arg(format!("Dir::Cache::archives={}", into.display()))
        .arg(package)
        .stderr(Stdio::null());
    check(&mut command)
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-qq").args(arguments).stdout(Stdio::null());
    command
}

/// Unpacks an archive, through the tree's own links for `/bin` and the like.
pub(crate) fn unpack(archive: &Path, tree: &Path) -> Result<()> {
    let mut source = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("dpkg-deb could not be started")?;
    let stream = source.stdout.take().context("dpkg-deb has no output")?;
    let unpacked = Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--directory"])
        .arg(tree)
        .stdin(stream)
        .status()
        .context("tar could not be started")?;
    let read = source.wait()?;
    ensure!(
        unpacked.success() && read.success(),
        "{} could not be unpacked",
        archive.display()
    );
    Ok(())
}
