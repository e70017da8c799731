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

/// Probes of every kind in an ordinary row of the leak matrix.
const PROBES: &str = "10000";

/// How the lab is built where it is to fire much: without optimisation, a
/// connection takes most of its time in code that is there for debugging.
const FAST: &[&str] = &["--profile", "fast"];

/// The leak matrix; or with `--soak`, faults at random for so many minutes.
pub(crate) fn leaks(workspace: &Workspace, rest: &[String]) -> Result<()> {
    if rest.iter().any(|word| word == "--soak") {
        return lab(workspace, "soak", FAST, rest);
    }
    let (quick, mut rest): (Vec<_>, Vec<_>) =
        rest.iter().cloned().partition(|word| word == "--quick");
    if !quick.is_empty() {
        return lab(workspace, "leaks", &[], &rest);
    }
    if !rest.iter().any(|word| word == "--probes") {
        rest.extend(["--probes".to_owned(), PROBES.to_owned()]);
    }
    rest.push("--compare".to_owned());
    lab(workspace, "leaks", FAST, &rest)
}

/// One of the lab's own programs, built as `how` says; `rest` goes to it.
pub(crate) fn lab(workspace: &Workspace, name: &str, how: &[&str], rest: &[String]) -> Result<()> {
    prepare::run()?;
    let test = ["test", "--quiet", "--package", "vpnm-lab", "--test", name];
    let mut command = workspace.cargo(&test);
    check(command.args(how).args(["--locked", "--"]).args(rest))
}
