//! `vpnm keep`

use vpnm_engine::sandbox::{self, KEEPER, Limits};

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::output::{Failure, Problem, chain};

pub(super) const COMMAND: Command = Command {
    name: "keep",
    group: Group::Internal,
    summary: "Keep others from the packet filter while no daemon lives; only the daemon starts it",
    about: "",
    operands: &[],
    flags: &[],
    examples: &[],
};

/// More descriptors than the process ever has.
const LIMITS: Limits = Limits { descriptors: 16 };

pub(super) fn run(_: &Context, _: &Matches) -> Result<Exit, Failure> {
    let jail = || sandbox::enter_with(LIMITS, KEEPER).map(drop);
    match vpnm_daemon::hold_filter(jail) {
        Ok(never) => match never {},
        Err(error) => Err(Problem::new(
            Exit::Failed,
            "keep",
            "nothing is kept",
            chain(&error),
            "vpnm doctor",
        )
        .into()),
    }
}
