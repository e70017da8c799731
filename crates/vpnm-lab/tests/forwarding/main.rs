//! Containers behind bridges, with and without the rules docker makes, and hosts
//! behind this one or beside it: in the tunnel while there is one, refused while there is none,
//! never out beside it. Containers that borrow the host's card get nothing out.

#![expect(clippy::print_stderr, reason = "a test program reports")]

mod borrowed;
mod neighbours;
mod one_card;
mod stories;

use std::process::ExitCode;

use anyhow::Result;
use vpnm_lab::harness::{self, Case, Options, Outcome};

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cases: Vec<Case<'_>> = stories::CASES
        .iter()
        .map(|(name, story)| Case::new(*name, |_| story()))
        .collect();
    Ok(match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => code,
        Outcome::Ran { passed: true } => ExitCode::SUCCESS,
        Outcome::Ran { passed: false } => ExitCode::FAILURE,
    })
}
