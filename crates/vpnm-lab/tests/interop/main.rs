//! The real program against an unmodified v2ray: every protocol, transport and
//! security, with the programs people use; every way in which a server may not be
//! there; and clients of the daemon that others wrote.

#![expect(clippy::print_stdout, reason = "a test program reports")]

mod control;
mod faults;
mod local_names;
mod lookups;
mod resolver;
mod rights;
mod traffic;

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use vpnm_lab::harness::{self, Case, Options, Outcome};
use vpnm_lab::peer::Variant;
use vpnm_lab::report::{self, Cell};

fn main() -> Result<ExitCode> {
    let options = Options::parse(std::env::args().skip(1))?;
    let cells = Mutex::new(Vec::new());
    let variants = Variant::all().into_iter();
    let mut cases: Vec<Case<'_>> = variants.map(|variant| spoken(variant, &cells)).collect();
    cases.extend(faults::cases());
    cases.extend(control::cases());
    cases.extend(rights::cases());
    cases.extend(resolver::cases());
    cases.extend(local_names::cases());
    cases.extend(lookups::cases());
    let passed = match harness::run(&options, &cases)? {
        Outcome::Elsewhere(code) => return Ok(code),
        Outcome::Ran { passed } => passed,
    };
    drop(cases);
    if options.json {
        println!(
            "{}",
            report::cells(&cells.into_inner().unwrap_or_else(PoisonError::into_inner))?
        );
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A variant with everything people do; a cell says how it went.
fn spoken(variant: Variant, cells: &Mutex<Vec<Cell>>) -> Case<'_> {
    Case::new(format!("v2ray {variant}"), move |_| {
        let result = traffic::run(variant);
        cells
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Cell {
                protocol: variant.protocol(),
                transport: variant.network(),
                security: variant.security(),
                peer: "v2ray",
                role: "server",
                ok: result.is_ok(),
                why: result
                    .as_ref()
                    .err()
                    .map_or_else(String::new, |error| format!("{error:#}")),
            });
        result
    })
}
