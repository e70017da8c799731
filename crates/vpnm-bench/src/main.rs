//! Measures the TUN engine beside its peers.
//!
//! Client and server live in two network namespaces joined by one veth pair. Every
//! engine under test opens a TUN device in the client's, speaks SOCKS 5 to the same
//! server in the other's, and carries the same loads. Rounds are interleaved, so that
//! a noisy machine is noisy for all; what is reported are medians and ratios.

mod arguments;
mod engines;
mod goal;
mod load;
mod measure;
mod metric;
mod pace;
mod place;
mod processor;
mod report;
mod run;
mod samples;
mod statistics;
mod sys;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os().skip(1)).and_then(run::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}
