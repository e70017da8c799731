//! What the examples have in common: words in, an exit code out.

use std::error::Error;
use std::process::ExitCode;

/// What a program comes to.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// Runs a program with the words it was started with.
pub(crate) fn main(run: fn(&[&str]) -> Outcome) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
