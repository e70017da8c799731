//! The help text.

use super::parse::Length;
use super::spec::{Command, Flag, GLOBAL, Group, Program};
use crate::output::{Paint, Style, Table, wrap};

const WIDTH: usize = 80;

/// What `--help` says of the program.
pub(crate) fn program(program: &Program, length: Length, style: Style) -> String {
    let mut text = format!(
        "{} - {}\n\n{} {} COMMAND [FLAGS]\n",
        style.paint(Paint::Title, program.name),
        program.summary,
        style.paint(Paint::Title, "Usage:"),
        program.name
    );
    if length == Length::Long {
        text.push('\n');
        text.push_str(&wrap(program.about, WIDTH));
        text.push('\n');
    }
    let widest = program
        .public()
        .map(|command| head(command).chars().count())
        .max()
        .unwrap_or_default();
    for group in Group::SHOWN {
        heading(&mut text, style, group.title());
        for command in program.public().filter(|command| command.group == group) {
            let head = style.pad(Paint::Command, &head(command), widest);
            text.push_str(&format!("  {head}  {}\n", command.summary));
        }
    }
    heading(&mut text, style, "Flags");
    text.push_str(&flags(&GLOBAL, length, style));
    match length {
        Length::Short => {
            text.push_str(&format!(
                "\nMore: {0} --help, {0} COMMAND --help, {0} man\n",
                program.name
            ));
        }
        Length::Long => {
            heading(&mut text, style, "Exit codes");
            let mut table = Table::default();
            for (code, meaning) in program.exit_codes {
                table.row(code.to_string(), meaning);
            }
            text.push_str(&table.render(style, Paint::Command, 2));
        }
    }
    text
}

/// What `--help` says of a command.
pub(crate) fn command(
    program: &Program,
    command: &Command,
    length: Length,
    style: Style,
) -> String {
    let mut text = format!(
        "{}\n\n{} {}\n",
        command.summary,
        style.paint(Paint::Title, "Usage:"),
        usage(program, command)
    );
    if length == Length::Long && !command.about.is_empty() {
        text.push('\n');
        text.push_str(&wrap(command.about, WIDTH));
        text.push('\n');
    }
    if !command.operands.is_empty() {
        heading(&mut text, style, "Arguments");
        let mut table = Table::default();
        for operand in command.operands {
            table.row(operand.name, operand.summary);
        }
        text.push_str(&table.render(style, Paint::Command, 2));
    }
    if !command.flags.is_empty() {
        heading(&mut text, style, "Flags");
        text.push_str(&flags(command.flags, length, style));
    }
    heading(&mut text, style, "Flags of every command");
    text.push_str(&flags(&GLOBAL, Length::Short, style));
    if !command.examples.is_empty() {
        heading(&mut text, style, "Examples");
        for (line, effect) in command.examples {
            text.push_str(&format!(
                "  {}\n      {effect}\n",
                style.paint(Paint::Command, line)
            ));
        }
    }
    text
}

/// The line that shows how a command is typed.
pub(super) fn usage(program: &Program, command: &Command) -> String {
    let mut text = format!("{} {}", program.name, head(command));
    if !command.flags.is_empty() {
        text.push_str(" [FLAGS]");
    }
    text
}

/// A command and its operands.
pub(super) fn head(command: &Command) -> String {
    let mut text = command.name.to_owned();
    for operand in command.operands {
        if operand.optional {
            text.push_str(&format!(" [{}]", operand.name));
        } else {
            text.push_str(&format!(" {}", operand.name));
        }
    }
    text
}

/// A flag as it is typed, with its short form and value.
pub(super) fn spelling(flag: &Flag) -> String {
    let short = flag
        .short
        .map(|letter| format!("-{letter}, "))
        .unwrap_or_default();
    let value = flag
        .value
        .map(|value| format!(" {}", value.name))
        .unwrap_or_default();
    format!("{short}--{}{value}", flag.long)
}

fn heading(text: &mut String, style: Style, title: &str) {
    text.push('\n');
    text.push_str(&style.paint(Paint::Title, title));
    text.push('\n');
}

fn flags(flags: &[&Flag], length: Length, style: Style) -> String {
    let mut table = Table::default();
    for flag in flags {
        let indent = if flag.short.is_some() { "" } else { "    " };
        let mut about = flag.summary.to_owned();
        if length == Length::Long && !flag.details.is_empty() {
            about.push('\n');
            about.push_str(&wrap(flag.details, WIDTH - 26));
        }
        table.row(format!("{indent}{}", spelling(flag)), about);
    }
    table.render(style, Paint::Command, 2)
}
