//! `vpnm engine`

use std::process::ExitCode;

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::logging;
use crate::output::Failure;

pub(super) const COMMAND: Command = Command {
    name: "engine",
    group: Group::Internal,
    summary: "Carry packets; only the daemon starts it",
    about: "",
    operands: &[],
    flags: &[&logging::LEVEL],
    examples: &[],
};

#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature is that of every command"
)]
pub(super) fn run(_: &Context, matches: &Matches) -> Result<Exit, Failure> {
    logging::start(matches);
    Ok(if vpnm_engine::main() == ExitCode::SUCCESS {
        Exit::Success
    } else {
        Exit::Failed
    })
}
