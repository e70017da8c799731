//! The real daemon and the real engine in a world of their own: what goes wrong,
//! what others do, and dying at every point there is.
//!
//! `cargo test -p vpnm-daemon --test life -- [FILTER…]`

mod deaths;
mod engine;
mod failures;
mod honesty;
mod intruders;
mod keepers;
mod leaks;
mod machine;
mod roaming;
mod scene;
mod strangers;
mod systemd;

use std::process::ExitCode;

use anyhow::Result;
use vpnm_lab::harness::{self, Case, Options, Outcome};

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut cases = Vec::new();
    for (name, run) in failures::CASES
        .iter()
        .chain(intruders::CASES)
        .chain(honesty::CASES)
        .chain(deaths::CASES)
        .chain(keepers::CASES)
        .chain(engine::CASES)
        .chain(leaks::CASES)
        .chain(roaming::CASES)
        .chain(strangers::CASES)
        .chain(systemd::CASES)
    {
        cases.push(Case::new(*name, |_| run()));
    }
    match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => Ok(code),
        Outcome::Ran { passed: true } => Ok(ExitCode::SUCCESS),
        Outcome::Ran { passed: false } => Ok(ExitCode::FAILURE),
    }
}
