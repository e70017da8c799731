//! The Python package `anyd` 0.4.1, its server and its client.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Figures;

/// Installs the package in a directory of its own; else says why it cannot.
pub(crate) fn package() -> Result<PathBuf, String> {
    let target = std::env::temp_dir().join("anyd-pip-anyd");
    let installed = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--upgrade", "--target"])
        .arg(&target)
        .arg("anyd==0.4.1")
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    if installed.status.success() {
        return Ok(target);
    }
    Err(String::from_utf8_lossy(&installed.stderr).into_owned())
}

/// Measures the package; the script starts the server as a process of its own.
pub(crate) fn measure(place: &Path, package: &Path) -> Result<Figures, Box<dyn Error>> {
    let output = Command::new("python3")
        .args(["-c", include_str!("python_anyd.py")])
        .arg(place.join("python.sock"))
        .env("PYTHONPATH", package)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let measured: Measured = serde_json::from_slice(&output.stdout)?;
    Ok(vec![
        ("calls of one client", measured.calls),
        ("call, median", measured.median),
        ("call, 99th of 100", measured.slowest),
        ("connect and call", measured.session),
        ("echoes of 1 MiB", measured.large),
    ])
}

#[derive(serde::Deserialize)]
struct Measured {
    calls: f64,
    median: f64,
    slowest: f64,
    session: f64,
    large: f64,
}
