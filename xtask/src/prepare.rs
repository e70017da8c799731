//! What the tests need besides a Rust toolchain.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::newer;
use crate::output;
use crate::run::{check, is_installed, is_root};
use crate::unpack;

/// A program the lab runs, and the Debian package that has it.
const TOOLS: &[(&str, &str)] = &[
    ("conntrack", "conntrack"),
    ("curl", "curl"),
    ("dbus-daemon", "dbus-daemon"),
    ("dig", "dnsutils"),
    ("ethtool", "ethtool"),
    ("fish", "fish"),
    ("ip", "iproute2"),
    ("iperf3", "iperf3"),
    ("nft", "nftables"),
    ("pip3", "python3-pip"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("systemd-analyze", "systemd"),
    ("tcpdump", "tcpdump"),
    ("v2ray", "v2ray"),
    ("zsh", "zsh"),
];

/// Installs the tools that are missing if it may, else says what to type. The
/// tests themselves then skip what they cannot run, or fail where the lab is
/// required.
pub(crate) fn run() -> Result<()> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(tool, _)| !is_installed(tool))
        .map(|(_, package)| *package)
        .collect();
    if !missing.is_empty() {
        let list = missing.join(" ");
        if is_root() && is_installed("apt-get") {
            output::line(&format!("installing what the tests need: {list}"));
            install(&missing).with_context(|| format!("installing {list}"))?;
        } else {
            output::line(&format!(
                "some tests will be skipped; to run them: sudo apt-get install {list}"
            ));
        }
    }
    unpack::run()?;
    newer::run()?;
    if !is_root() {
        output::line(
            "the lab needs root; to run it: sudo --preserve-env=PATH,HOME cargo xtask test",
        );
    } else if !Path::new("/dev/net/tun").exists() && is_installed("modprobe") {
        // Where the module is built in or cannot be loaded, the lab says so.
        let _status = Command::new("modprobe").arg("tun").status();
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let install = || {
        let mut command = apt();
        command
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages);
        command
    };
    // The lists on the machine may do; they are only fetched if not.
    if check(install().stderr(Stdio::null())).is_ok() {
        return Ok(());
    }
    check(apt().arg("update"))?;
    check(&mut install())?;
    for (tool, package) in TOOLS {
        if packages.contains(package) && !is_installed(tool) {
            bail!("{package} was installed, but there is no {tool}");
        }
    }
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command
        .arg("-qq")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null());
    command
}
