//! The release binary: where it is, and how it is built.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::run::check;
use crate::workspace::Workspace;

/// Builds the binary and says where it is.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    check(&mut workspace.cargo(&["build", "--release", "--package", "vpnm", "--locked"]))?;
    let target = workspace.metadata()?;
    ["x86_64", "aarch64"]
        .iter()
        .map(|machine| format!("{machine}-unknown-linux-gnu/release/vpnm"))
        .map(|path| target.target_directory().join(path))
        .find(|path| path.is_file())
        .context("the release binary is not where cargo should have put it")
}
