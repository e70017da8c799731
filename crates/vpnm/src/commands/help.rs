//! `vpnm help`, `-h` and `--help`

use super::Context;
use crate::cli::help;
use crate::cli::parse::{Length, Matches};
use crate::cli::reference::Reference;
use crate::cli::spec::{Command, Group, Kind, Operand};
use crate::exit::Exit;
use crate::output::Failure;

pub(super) const COMMAND: Command = Command {
    name: "help",
    group: Group::Tools,
    summary: "Explain a command",
    about: "",
    operands: &[Operand {
        name: "COMMAND",
        summary: "The command; without it, the program",
        optional: true,
        kind: Kind::Command,
    }],
    flags: &[],
    examples: &[("vpnm help connect", "What connect does, at length")],
};

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let about = matches
        .operand(0)
        .and_then(|word| word.to_str())
        .and_then(|name| context.program.command(name));
    explain(context, about, Length::Long)
}

/// Explains `about`, or the whole program.
pub(crate) fn explain(
    context: &Context,
    about: Option<&'static Command>,
    length: Length,
) -> Result<Exit, Failure> {
    let style = context.output.style();
    context.output.text(match about {
        Some(command) => help::command(context.program, command, length, style),
        None => help::program(context.program, length, style),
    })?;
    context
        .output
        .json(&Reference::of(context.program, about))?;
    Ok(Exit::Success)
}
