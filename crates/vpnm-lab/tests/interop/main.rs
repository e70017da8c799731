//! The real program against an unmodified v2ray: every protocol, transport and
//! security, with the programs people use; and every way in which a server may
//! not be there.

mod faults;
mod traffic;

use std::process::ExitCode;

use anyhow::Result;
use vpnm_lab::harness::{self, Case, Options, Outcome};
use vpnm_lab::peer::Variant;

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut cases: Vec<Case<'_>> = Variant::all()
        .into_iter()
        .map(|variant| Case::new(format!("v2ray {variant}"), move |_| traffic::run(variant)))
        .collect();
    cases.extend(faults::cases());
    Ok(match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => code,
        Outcome::Ran { passed: true } => ExitCode::SUCCESS,
        Outcome::Ran { passed: false } => ExitCode::FAILURE,
    })
}
