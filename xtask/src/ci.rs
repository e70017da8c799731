//! Everything a commit must pass.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::run::check;
use crate::workspace::Workspace;
use crate::{arch, deps, output, static_build, text};

type Stage = (&'static str, fn(&Workspace) -> Result<()>);

/// Cheap stages first; the first failure ends the run.
const STAGES: &[Stage] = &[
    ("fmt", format),
    ("text", text::run),
    ("arch", arch::run),
    ("deps", deps::run),
    ("clippy", clippy),
    ("docs", docs),
    ("test", test),
    ("static", static_build::run),
];

/// Runs every stage and says how long each took.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut times = Vec::new();
    let started = Instant::now();
    for (name, stage) in STAGES {
        output::line(&format!("==> {name}"));
        let begun = Instant::now();
        let result = stage(workspace);
        times.push((*name, begun.elapsed()));
        if result.is_err() {
            report(&times, started.elapsed(), "failed");
        }
        result.with_context(|| format!("stage {name}"))?;
    }
    report(&times, started.elapsed(), "passed");
    Ok(())
}

fn report(times: &[(&str, Duration)], total: Duration, verdict: &str) {
    output::line(&format!("==> {verdict}"));
    for (name, time) in times.iter().chain([&("all", total)]) {
        output::line(&format!("{name:>8} {:>8.1} s", time.as_secs_f64()));
    }
}

fn format(workspace: &Workspace) -> Result<()> {
    check(&mut workspace.cargo(&["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    check(&mut workspace.cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))
}

fn docs(workspace: &Workspace) -> Result<()> {
    check(
        workspace
            .cargo(&[
                "doc",
                "--quiet",
                "--workspace",
                "--no-deps",
                "--document-private-items",
                "--locked",
            ])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// The very command that the README names.
fn test(workspace: &Workspace) -> Result<()> {
    check(&mut workspace.cargo(&["xtask", "test"]))
}
