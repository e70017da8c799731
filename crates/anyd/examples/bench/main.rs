//! What a call costs, beside the Python package that this crate descends from.
//!
//! ```text
//! cargo run --profile fast --example bench -- [--json] [--rounds N]
//! ```
//!
//! Every server and every client is a process of its own on a Unix socket. The
//! rounds are interleaved; the medians are shown. The Python package is used
//! as it is on PyPI, but for one line without which it cannot serve Unix
//! sockets at all; where pip cannot install it, its rows say so.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod ours;
mod python;
mod report;
mod statistics;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use report::Report;

/// What is measured in one round, by name.
type Figures = Vec<(&'static str, f64)>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve", path] => ours::serve(path).map_err(Into::into),
        words => bench(words),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(words: &[&str]) -> Result<(), Box<dyn Error>> {
    let json = words.contains(&"--json");
    let rounds = match words.iter().position(|word| *word == "--rounds") {
        Some(at) => words
            .get(at + 1)
            .ok_or("--rounds needs a number")?
            .parse()?,
        None => 3,
    };
    let place = Place::new()?;
    let package = python::package();
    let mut report = Report::default();
    for _ in 0..rounds {
        report.add("anyd", ours::measure(&place.0)?);
        if let Ok(package) = &package {
            report.add("python anyd", python::measure(&place.0, package)?);
        }
    }
    let absent = package.err();
    if json {
        println!("{}", report.json(absent.as_deref()));
    } else {
        print!("{}", report.table(absent.as_deref()));
    }
    Ok(())
}

/// A directory that goes with the program.
struct Place(PathBuf);

impl Place {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("anyd-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What is left is in the directory for temporary files.
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}
