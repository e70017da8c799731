//! `vpnm probe`

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group, Kind, Operand};
use crate::exit::Exit;
use crate::output::Failure;

pub(super) const COMMAND: Command = Command {
    name: "probe",
    group: Group::Internal,
    summary: "Try every way out; only the leak check starts it",
    about: "",
    operands: &[Operand {
        name: "WORDS",
        summary: "The check's port and this machine's links",
        optional: false,
        kind: Kind::Text,
    }],
    flags: &[],
    examples: &[],
};

#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature is that of every command"
)]
pub(super) fn run(_: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let words = matches.operand(0).and_then(|words| words.to_str());
    let words: Vec<String> = words
        .unwrap_or_default()
        .split(' ')
        .map(str::to_owned)
        .collect();
    Ok(match vpnm_daemon::leak::send_all(&words) {
        Ok(()) => Exit::Success,
        Err(_) => Exit::Failed,
    })
}
