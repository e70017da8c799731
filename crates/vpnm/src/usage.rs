//! What people are told of a command line that makes no sense.

use crate::cli::parse::ParseError;
use crate::exit::Exit;
use crate::output::Problem;

/// A command line that makes no sense, in three parts.
pub(crate) fn problem(error: &ParseError) -> Problem {
    let command = error.command().map(|command| command.name);
    let help = command.map_or_else(
        || "vpnm --help".to_owned(),
        |name| format!("vpnm {name} --help"),
    );
    let why = match error {
        ParseError::UnknownCommand { typed, .. } if typed.contains("://") => {
            return Problem::new(
                Exit::Usage,
                "usage",
                "a link was given without a command",
                "vpnm does not guess what to do with it",
                "vpnm connect 'LINK'",
            );
        }
        ParseError::NoCommand => "vpnm is told by its first word what to do".to_owned(),
        ParseError::UnknownFlag {
            nearest: Some(nearest),
            ..
        } => format!("nothing is called that; did you mean \"--{nearest}\"?"),
        ParseError::UnknownCommand { .. }
        | ParseError::UnknownFlag { .. }
        | ParseError::Choice { .. } => match error.nearest() {
            Some(nearest) => format!("nothing is called that; did you mean \"{nearest}\"?"),
            None => "nothing is called that".to_owned(),
        },
        ParseError::Value { .. } | ParseError::MissingOperand { .. } => {
            "the command line is not complete".to_owned()
        }
        ParseError::ExtraOperand { limit: 0, .. } => "it needs nothing to be told".to_owned(),
        ParseError::ExtraOperand { .. } => {
            "quote a link in single quotes, the shell splits it otherwise".to_owned()
        }
    };
    let next = match error {
        ParseError::UnknownCommand {
            nearest: Some(nearest),
            ..
        } => format!("vpnm {nearest}"),
        ParseError::UnknownFlag {
            nearest: Some(nearest),
            ..
        } => format!(
            "vpnm {}--{nearest}",
            command.map(|name| format!("{name} ")).unwrap_or_default()
        ),
        ParseError::NoCommand
        | ParseError::UnknownCommand { .. }
        | ParseError::UnknownFlag { .. }
        | ParseError::Value { .. }
        | ParseError::Choice { .. }
        | ParseError::MissingOperand { .. }
        | ParseError::ExtraOperand { .. } => help,
    };
    Problem::new(Exit::Usage, "usage", error.to_string(), why, next)
}
