//! Measures the TUN engine beside its peers.
//!
//! Client and server live in two network namespaces joined by one veth pair. Every
//! engine under test opens a TUN device in the client's, speaks SOCKS 5 to the same
//! server in the other's, and carries the same loads. Rounds are interleaved, so that
//! a noisy machine is noisy for all; what is reported are medians and ratios.

mod arguments;
mod bare;
mod carried;
mod cells;
mod delay;
mod device;
mod engines;
mod goal;
mod load;
mod measure;
mod metric;
mod node;
mod pace;
mod place;
mod processor;
mod report;
mod run;
mod samples;
mod seen;
mod statistics;
mod sys;
mod target;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1).peekable();
    let outcome = if words.next_if(|word| word == carried::WORD).is_some() {
        carried::run(words)
    } else if words.next_if(|word| word == bare::WORD).is_some() {
        bare::run()
    } else {
        arguments::parse(words).and_then(run::run)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}
