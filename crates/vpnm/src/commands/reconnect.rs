//! `vpnm reconnect`

use super::{Context, attempt};
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::output::Failure;

pub(super) const COMMAND: Command = Command {
    name: "reconnect",
    group: Group::Tunnel,
    summary: "Build the tunnel anew, to the same server",
    about: "Nothing leaves the machine in between.",
    operands: &[],
    flags: &[],
    examples: &[],
};

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    attempt::run(context, |tunnel| tunnel.reconnect())
}
