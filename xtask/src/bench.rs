//! Measurements beside peers.

use anyhow::{Result, bail};

use crate::run::check;
use crate::workspace::Workspace;
use crate::{prepare, release};

const USAGE: &str =
    "cargo xtask bench tun [--cells] [--json] [--quick] [--rounds N] [--seconds S] \
[--only LOAD,...] [--engines NAME,...] [--samples FILE] [--hev PATH] [--tun2proxy PATH]
cargo xtask bench ipc [--json] [--rounds N]";

/// Runs the benchmark that `arguments` name first; the rest goes to it.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        bail!("{USAGE}");
    };
    match name.as_str() {
        "tun" => tun(workspace, rest),
        "ipc" => ipc(workspace, rest),
        other => bail!("there is no benchmark \"{other}\"\n{USAGE}"),
    }
}

/// What a call costs, beside other frameworks, each in programs of its own.
fn ipc(workspace: &Workspace, rest: &[String]) -> Result<()> {
    let words = ["--release", "--locked", "--quiet", "--manifest-path"];
    let cargo = |task: &str| {
        let mut command = workspace.cargo(&[task]);
        command.args(words).arg("bench/ipc/Cargo.toml");
        // Linked as cargo links for everybody, not statically as vpnm itself is.
        command.env("RUSTFLAGS", "-C target-feature=-crt-static");
        command
    };
    check(cargo("build").arg("--bins"))?;
    check(cargo("run").arg("--").args(rest))
}

/// The engine's throughput, beside other engines.
fn tun(workspace: &Workspace, rest: &[String]) -> Result<()> {
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
