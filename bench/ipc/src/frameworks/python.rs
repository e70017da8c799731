//! The Python package `anyd` 0.4.1, its server and its client.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::load::Figures;

/// Installs the package in a directory of its own.
pub fn install() -> Result<PathBuf> {
    let target = std::env::temp_dir().join("anyd-bench-python");
    let options = ["--quiet", "--disable-pip-version-check", "--no-deps"];
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install"])
        .args(options)
        .args(["--upgrade", "--target"])
        .arg(&target)
        .arg("anyd==0.4.1");
    output(&mut pip)?;
    Ok(target)
}

/// Measures the package; the script starts the server as a process of its own.
pub fn measure(package: &Path, socket: &Path) -> Result<Figures> {
    let mut script = Command::new("python3");
    script
        .args(["-c", include_str!("python_anyd.py")])
        .arg(socket)
        .env("PYTHONPATH", package);
    Ok(serde_json::from_slice(&output(&mut script)?)?)
}

/// What a program prints.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().context("python3")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
