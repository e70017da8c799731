//! `vpnm disconnect`

use vpnm_api::State;

use super::{Context, status};
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::control;
use crate::exit::Exit;
use crate::output::{Failure, Progress};

pub(super) const COMMAND: Command = Command {
    name: "disconnect",
    group: Group::Tunnel,
    summary: "Take the tunnel away and open the machine",
    about: "\
Traffic leaves unprotected afterwards, and the machine is as it was before vpnm touched it. Under \
lockdown it stays blocked instead.",
    operands: &[],
    flags: &[],
    examples: &[],
};

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    let mut tunnel = control::open()?;
    let progress = Progress::start(&context.output, "opening the machine");
    let outcome = tunnel.disconnect();
    drop(progress);
    let after = outcome.map_err(|error| control::refused("not disconnected", error))?;
    if let State::Unprotected { cause } = &after.state {
        return Err(control::failed("disconnected, but not cleanly", cause).into());
    }
    status::show(&context.output, &after)?;
    Ok(Exit::Success)
}
