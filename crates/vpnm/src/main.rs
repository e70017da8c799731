//! vpnm: all of a machine's traffic through one encrypted proxy server.
//!
//! One binary for every role: the command line, the daemon (`vpnm daemon`, or
//! called as `vpnmd`) and the engine that the daemon starts. This crate reads
//! arguments, speaks to people and machines, and hands over to the crate that
//! does the work.

mod cli;
mod commands;
mod control;
mod exit;
mod logging;
mod output;
mod secret;
mod usage;

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use cli::parse::{self, Request};
use commands::{Context, PROGRAM};
use exit::Exit;
use output::{Colour, Failure, Format, Output, OutputError, Problem};

fn main() -> ExitCode {
    let arguments = arguments();
    let format = if parse::wants_json(&arguments) {
        Format::Json
    } else {
        Format::Text
    };
    let colour = Colour::named(parse::wants_color(&arguments));
    let context = Context {
        program: &PROGRAM,
        output: Output::new(format, colour),
    };
    let exit = match answer(&context, arguments) {
        Ok(exit) => exit,
        Err(Failure::Problem(problem)) => match context.output.problem(&problem) {
            Ok(()) => problem.exit,
            Err(_) => Exit::Failed,
        },
        Err(Failure::Output(error)) if error.is_closed() => Exit::Success,
        Err(Failure::Output(error)) => {
            // Standard error may take what standard output does not.
            drop(Output::new(Format::Text, colour).problem(&unwritten(&error)));
            Exit::Failed
        }
    };
    exit.into()
}

/// What people are told of an answer that they did not get.
fn unwritten(error: &OutputError) -> Problem {
    Problem::new(
        Exit::Failed,
        "unwritten",
        error.to_string(),
        error.source().map(ToString::to_string).unwrap_or_default(),
        "the same command, with room for what it says",
    )
}

/// The arguments after the program's name. Called as `vpnmd`, the program is
/// the daemon.
fn arguments() -> Vec<OsString> {
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_default();
    let is_daemon = std::path::Path::new(&called)
        .file_name()
        .is_some_and(|name| name == "vpnmd");
    is_daemon
        .then(|| OsString::from("daemon"))
        .into_iter()
        .chain(words)
        .collect()
}

/// Does what `arguments` ask for.
fn answer(context: &Context, arguments: Vec<OsString>) -> Result<Exit, Failure> {
    match parse::parse(context.program, arguments) {
        Ok(Request::Run(command, matches)) => commands::run(command, context, &matches),
        Ok(Request::Help(about, length)) => commands::help::explain(context, about, length),
        Ok(Request::Version) => commands::version::say(context),
        Err(error) => Err(usage::problem(&error).into()),
    }
}
