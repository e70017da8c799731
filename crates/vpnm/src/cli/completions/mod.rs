//! Completion scripts for the shells.

mod bash;
mod fish;
mod zsh;

use super::spec::{Command, Flag, GLOBAL, Kind, Program};

/// A shell that is known how to complete in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// GNU bash.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

impl Shell {
    /// The names that are understood.
    pub(crate) const NAMES: &'static [&'static str] = &["bash", "zsh", "fish"];

    /// The shell called `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }

    /// The script that completes `program`.
    pub(crate) fn script(self, program: &Program) -> String {
        match self {
            Self::Bash => bash::script(program),
            Self::Zsh => zsh::script(program),
            Self::Fish => fish::script(program),
        }
    }
}

/// The flags that may follow `command`.
fn flags(command: &Command) -> impl Iterator<Item = &'static Flag> {
    command.flags.iter().copied().chain(GLOBAL)
}

/// The words a `kind` may be, if they are known.
fn words(program: &Program, kind: Kind) -> Vec<&'static str> {
    match kind {
        Kind::Text | Kind::File => Vec::new(),
        Kind::Command => program.public().map(|command| command.name).collect(),
        Kind::OneOf(choices) => choices.to_vec(),
    }
}

/// `text` in single quotes of a POSIX shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
