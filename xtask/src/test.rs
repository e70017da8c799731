//! Every test of the workspace, the lab included.

use anyhow::Result;

use crate::prepare;
use crate::run::check;
use crate::workspace::Workspace;

/// Installs what is missing, builds the binary that the lab runs, then tests.
/// `rest` goes to `cargo test` as it stands.
pub(crate) fn run(workspace: &Workspace, rest: &[String]) -> Result<()> {
    prepare::run()?;
    check(&mut workspace.cargo(&["build", "--package", "vpnm", "--locked"]))?;
    check(
        workspace
            .cargo(&["test", "--workspace", "--locked"])
            .args(rest),
    )
}

/// One of the lab's own programs; `rest` goes to it.
pub(crate) fn lab(workspace: &Workspace, name: &str, rest: &[String]) -> Result<()> {
    prepare::run()?;
    check(
        workspace
            .cargo(&[
                "test",
                "--quiet",
                "--package",
                "vpnm-lab",
                "--test",
                name,
                "--locked",
                "--",
            ])
            .args(rest),
    )
}
