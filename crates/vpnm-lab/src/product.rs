//! The program under test: found or built once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Names a binary to test instead of building one.
const VARIABLE: &str = "VPNM_BINARY";

/// The path of the binary under test.
///
/// # Errors
///
/// When it neither is named by `VPNM_BINARY` nor can be built.
pub fn binary() -> Result<&'static Path> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARY.get_or_init(|| find().map_err(|error| format!("{error:#}"))) {
        Ok(path) => Ok(path),
        Err(error) => bail!("{error}"),
    }
}

fn find() -> Result<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(path) => {
            let path = PathBuf::from(path);
            path.canonicalize()
                .with_context(|| format!("{VARIABLE} names {}", path.display()))
        }
        None => build(),
    }
}

/// Builds the binary with cargo, which says where it is.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--package",
        "vpnm",
        "--bin",
        "vpnm",
        "--message-format",
        "json",
    ]);
    if !cfg!(debug_assertions) {
        command.args(["--profile", "fast"]);
    }
    let output = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!("the program under test does not build");
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message
                .pointer("/target/name")
                .is_some_and(|name| name == "vpnm")
        })
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .context("cargo did not say where the program under test is")
}
