//! Measurements beside peers.

use anyhow::{Result, bail};

use crate::run::check;
use crate::workspace::Workspace;
use crate::{prepare, release};

/// Runs the benchmark that `arguments` name first; the rest goes to it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("cargo xtask bench tun [--json] [--rounds N] [--seconds S]");
    };
    if name != "tun" {
        bail!("there is no benchmark \"{name}\"; there is tun");
    }
    prepare::run()?;
    let binary = release::build(workspace)?;
    check(
        workspace
            .cargo(&[
                "run",
                "--quiet",
                "--profile",
                "fast",
                "--package",
                "vpnm-bench",
                "--locked",
                "--",
                "--vpnm",
            ])
            .arg(binary)
            .args(rest),
    )
}
