//! `vpnm lockdown`

use anyd::CallError;
use vpnm_api::tunnel::TunnelError;

use super::{Context, status};
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group, Kind, Operand};
use crate::control;
use crate::exit::Exit;
use crate::output::{Failure, Problem};

pub(super) const COMMAND: Command = Command {
    name: "lockdown",
    group: Group::Tunnel,
    summary: "Keep the machine blocked whenever there is no tunnel",
    about: "\
With lockdown on, \"vpnm disconnect\" and a restart of the machine leave it blocked; only a tunnel \
lets traffic out. Members of the group vpnm may turn it on, only root turns it off.",
    operands: &[Operand {
        name: "on|off",
        summary: "What it is to be",
        optional: false,
        kind: Kind::OneOf(&["on", "off"]),
    }],
    flags: &[],
    examples: &[(
        "sudo vpnm lockdown off",
        "Allow an unprotected machine again",
    )],
};

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let mut tunnel = control::open()?;
    let after = if matches.operand(0).is_some_and(|word| word == "on") {
        tunnel
            .lockdown()
            .map_err(|error| control::refused("lockdown was not turned on", error))?
    } else {
        tunnel.lift_lockdown().map_err(not_lifted)?
    };
    status::show(&context.output, &after)?;
    Ok(Exit::Success)
}

fn not_lifted(error: CallError<TunnelError>) -> Problem {
    let what = "lockdown was not turned off";
    if matches!(error, CallError::Denied { .. }) {
        let why = "only root may open a machine that is locked down";
        return Problem::new(Exit::Denied, "denied", what, why, "sudo vpnm lockdown off");
    }
    control::refused(what, error)
}
