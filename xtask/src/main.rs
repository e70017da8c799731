//! Checks and generators of the workspace: `cargo xtask`.

mod arch;
mod bench;
mod ci;
mod deps;
mod elf;
mod newer;
mod output;
mod prepare;
mod release;
mod run;
mod static_build;
mod test;
mod text;
mod unpack;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask TASK

  ci       everything below, in the order in which it fails soonest
  test     install what the tests need, then run every test of the workspace
  arch     the rules of the architecture: crate edges, module cycles, sizes, purity, unsafe code
  text     the rules of text: links, spaces, commit subjects, nothing left unfinished
  deps     licences and sources of everything that is linked
  static   the release binary: built, static, hardened
  prepare  only install what the tests need

  leaks    the leak matrix of the lab, beside others; --json, --quick, --probes N, --jobs N,
           --row N,N-N, --captures DIR, a filter by name;
           --soak MINUTES [--seed N]: faults at random over random traffic, in the order of a seed
  interop  the lab's real servers; --json, a filter
  bench    measurements beside peers: bench tun|ipc [--json] [--rounds N] [--seconds S]
";

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let task = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let workspace = Workspace::find()?;
    match task.as_str() {
        "ci" => ci::run(&workspace),
        "test" => test::run(&workspace, &rest),
        "arch" => arch::run(&workspace),
        "text" => text::run(&workspace),
        "deps" => deps::run(&workspace),
        "static" => static_build::run(&workspace),
        "prepare" => prepare::run(),
        "bench" => bench::run(&workspace, &rest),
        "leaks" => test::leaks(&workspace, &rest),
        "interop" => test::lab(&workspace, &task, &[], &rest),
        "" | "help" | "-h" | "--help" => {
            output::line(USAGE.trim_end());
            Ok(())
        }
        other => bail!("there is no task \"{other}\"\n{USAGE}"),
    }
}
