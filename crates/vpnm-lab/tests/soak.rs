//! Random faults over random traffic: nothing leaves.
//!
//! `cargo test -p vpnm-lab --test soak -- [--soak MINUTES] [--seed N] [--json]
//! [--captures DIRECTORY]`

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test program reports"
)]

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use vpnm_lab::harness::{self, Case, Options, Outcome};
use vpnm_lab::scenario::{SoakReport, soak};

/// What an ordinary run takes: short, and the same every time.
const SHORT: Duration = Duration::from_secs(20);
const SEED: u64 = 7;

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let found: Mutex<Option<SoakReport>> = Mutex::new(None);
    let length = options.soak.unwrap_or(SHORT);
    let seed = match (options.seed, options.soak) {
        (Some(seed), _) => seed,
        (None, None) => SEED,
        (None, Some(_)) => fresh_seed()?,
    };
    let name = format!("faults at random, seed {seed}: nothing leaves");
    let case = Case::new(name, |options| {
        let record = options.captures.as_ref();
        let record = record.map(|directory| directory.join(format!("soak-{seed}.pcap")));
        let report = soak(seed, length, record.as_deref())?;
        let verdict = report.judge();
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        verdict
    });
    let passed = match harness::run(&options, &[case])? {
        Outcome::Elsewhere(code) => return Ok(code),
        Outcome::Ran { passed } => passed,
    };
    if let Some(report) = found.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if options.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            eprint!("{}", report.table());
        }
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Another one each time; it is told, so that its order can be had again.
fn fresh_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(u64::from(now.subsec_micros()))
}
