//! `vpnm completions`

use serde::Serialize;

use super::Context;
use crate::cli::completions::Shell;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group, Kind, Operand};
use crate::exit::Exit;
use crate::output::Failure;

pub(super) const COMMAND: Command = Command {
    name: "completions",
    group: Group::Tools,
    summary: "Print the completion script of a shell",
    about: "\
bash: source <(vpnm completions bash)
zsh:  vpnm completions zsh > ~/.zfunc/_vpnm
fish: vpnm completions fish | source",
    operands: &[Operand {
        name: "SHELL",
        summary: "bash, zsh or fish",
        optional: false,
        kind: Kind::OneOf(Shell::NAMES),
    }],
    flags: &[],
    examples: &[(
        "vpnm completions bash | sudo tee /usr/share/bash-completion/completions/vpnm",
        "Complete for every user of bash",
    )],
};

#[derive(Serialize)]
struct Script<'a> {
    shell: &'a str,
    script: &'a str,
}

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let name = matches
        .operand(0)
        .and_then(|word| word.to_str())
        .unwrap_or_default();
    let shell = Shell::named(name).expect("invariant: the parser let only known shells through");
    let script = shell.script(context.program);
    context.output.text(&script)?;
    context.output.json(&Script {
        shell: name,
        script: &script,
    })?;
    Ok(Exit::Success)
}
