//! The command reference: Markdown for the documentation, JSON for tools.

use serde::Serialize;

use super::help::{head, spelling, usage};
use super::spec::{Command, Flag, GLOBAL, Group, Kind, Program};

/// The reference as a Markdown document.
pub(crate) fn markdown(program: &Program) -> String {
    let mut text = format!(
        "# {0}: commands\n\n{1}.\n\nThis page is written by `{0} man --markdown`.\n\n{2}\n",
        program.name, program.summary, program.about
    );
    for group in Group::SHOWN {
        text.push_str(&format!("\n## {}\n", group.title()));
        for command in program.public().filter(|command| command.group == group) {
            text.push_str(&section(program, command));
        }
    }
    text.push_str("\n## Flags of every command\n\n");
    text.push_str(&flag_list(&GLOBAL));
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in program.exit_codes {
        text.push_str(&format!("| {code} | {meaning} |\n"));
    }
    let (file, settings) = program.settings;
    text.push_str(&format!(
        "\n## Settings\n\n{file}\n\n| example | meaning |\n|---|---|\n"
    ));
    for (example, meaning) in settings {
        text.push_str(&format!("| `{example}` | {meaning} |\n"));
    }
    text.push_str("\n## Files\n\n| path | purpose |\n|---|---|\n");
    for (path, purpose) in program.files {
        text.push_str(&format!("| `{path}` | {purpose} |\n"));
    }
    text.push_str("\n## Environment\n\n| variable | effect |\n|---|---|\n");
    for (name, effect) in program.environment {
        text.push_str(&format!("| `{name}` | {effect} |\n"));
    }
    text
}

fn section(program: &Program, command: &Command) -> String {
    let mut text = format!(
        "\n### {} {}\n\n{}.\n\n```text\n{}\n```\n",
        program.name,
        head(command),
        command.summary,
        usage(program, command)
    );
    if !command.about.is_empty() {
        text.push_str(&format!("\n{}\n", command.about));
    }
    if !command.operands.is_empty() || !command.flags.is_empty() {
        text.push('\n');
    }
    for operand in command.operands {
        text.push_str(&format!("- `{}`: {}.\n", operand.name, operand.summary));
    }
    text.push_str(&flag_list(command.flags));
    if !command.examples.is_empty() {
        text.push_str("\n```sh\n");
        for (line, effect) in command.examples {
            text.push_str(&format!("{line}    # {effect}\n"));
        }
        text.push_str("```\n");
    }
    text
}

fn flag_list(flags: &[&Flag]) -> String {
    flags
        .iter()
        .map(|flag| {
            let details = if flag.details.is_empty() {
                String::new()
            } else {
                format!(" {}", flag.details)
            };
            format!("- `{}`: {}.{details}\n", spelling(flag), flag.summary)
        })
        .collect()
}

/// The reference as an object.
#[derive(Debug, Serialize)]
pub(crate) struct Reference {
    program: &'static str,
    commands: Vec<CommandEntry>,
    flags: Vec<FlagEntry>,
    exit_codes: Vec<CodeEntry>,
}

#[derive(Debug, Serialize)]
struct CommandEntry {
    name: &'static str,
    summary: &'static str,
    operands: Vec<OperandEntry>,
    flags: Vec<FlagEntry>,
}

#[derive(Debug, Serialize)]
struct OperandEntry {
    name: &'static str,
    summary: &'static str,
    optional: bool,
    choices: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct FlagEntry {
    long: &'static str,
    short: Option<char>,
    value: Option<&'static str>,
    choices: &'static [&'static str],
    summary: &'static str,
}

#[derive(Debug, Serialize)]
struct CodeEntry {
    code: u8,
    meaning: &'static str,
}

impl Reference {
    /// What `program` understands, of `only` that command if it is given.
    pub(crate) fn of(program: &Program, only: Option<&'static Command>) -> Self {
        let commands = match only {
            Some(command) => vec![CommandEntry::of(command)],
            None => program.public().map(CommandEntry::of).collect(),
        };
        Self {
            program: program.name,
            commands,
            flags: GLOBAL.into_iter().map(FlagEntry::of).collect(),
            exit_codes: program
                .exit_codes
                .iter()
                .map(|&(code, meaning)| CodeEntry { code, meaning })
                .collect(),
        }
    }
}

impl CommandEntry {
    fn of(command: &'static Command) -> Self {
        Self {
            name: command.name,
            summary: command.summary,
            operands: command
                .operands
                .iter()
                .map(|operand| OperandEntry {
                    name: operand.name,
                    summary: operand.summary,
                    optional: operand.optional,
                    choices: choices(operand.kind),
                })
                .collect(),
            flags: command.flags.iter().copied().map(FlagEntry::of).collect(),
        }
    }
}

impl FlagEntry {
    fn of(flag: &'static Flag) -> Self {
        Self {
            long: flag.long,
            short: flag.short,
            value: flag.value.map(|value| value.name),
            choices: flag.value.map_or(&[], |value| choices(value.kind)),
            summary: flag.summary,
        }
    }
}

fn choices(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::OneOf(choices) => choices,
        Kind::Text | Kind::File | Kind::Command => &[],
    }
}
