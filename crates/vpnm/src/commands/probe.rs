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
        summary: "The check's port and its attempts",
        optional: false,
        kind: Kind::Text,
    }],
    flags: &[],
    examples: &[],
};

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let words = matches.operand(0).and_then(|words| words.to_str());
    let words: Vec<String> = words
        .unwrap_or_default()
        .split(' ')
        .map(str::to_owned)
        .collect();
    let Ok(made) = vpnm_daemon::leak::send_all(&words) else {
        return Ok(Exit::Failed);
    };
    for number in made {
        context.output.line(number.to_string())?;
    }
    Ok(Exit::Success)
}
