//! An argument list, read against the specification.

use std::ffi::{OsStr, OsString};

use lexopt::Arg;
use thiserror::Error;

use super::spec::{COLOR, Command, Flag, GLOBAL, HELP, JSON, Kind, Program, VERSION};
use super::suggest::nearest;

/// What the user asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Run a command.
    Run(&'static Command, Matches),
    /// Explain a command, or the program.
    Help(Option<&'static Command>, Length),
    /// Say the version.
    Version,
}

/// How much of an explanation is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// A line for each thing.
    Short,
    /// Everything there is to say.
    Long,
}

/// The flags and operands that were given to a command.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    flags: Vec<(&'static str, Option<OsString>)>,
    operands: Vec<OsString>,
}

impl Matches {
    /// Whether `flag` was given.
    pub(crate) fn has(&self, flag: &Flag) -> bool {
        self.flags.iter().any(|(long, _)| *long == flag.long)
    }

    /// The value that was given to `flag`; the last one counts.
    pub(crate) fn value(&self, flag: &Flag) -> Option<&OsStr> {
        self.values(flag).last()
    }

    /// Every value that was given to `flag`.
    pub(crate) fn values(&self, flag: &Flag) -> impl Iterator<Item = &OsStr> {
        self.flags
            .iter()
            .filter(move |(long, _)| *long == flag.long)
            .filter_map(|(_, value)| value.as_deref())
    }

    /// The operand at `place`, counted from zero.
    pub(crate) fn operand(&self, place: usize) -> Option<&OsStr> {
        self.operands.get(place).map(OsString::as_os_str)
    }
}

/// An argument list that says nothing the program knows.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// No command was given.
    #[error("no command was given")]
    NoCommand,
    /// The command does not exist.
    #[error("there is no command \"{typed}\"")]
    UnknownCommand {
        /// What was typed.
        typed: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// The flag does not exist here.
    #[error("{} has no flag \"{typed}\"", command.map_or("the program itself", |c| c.name))]
    UnknownFlag {
        /// The command it was given to.
        command: Option<Named>,
        /// What was typed.
        typed: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A flag that takes a value came without one, or the other way round.
    #[error("{reason}")]
    Value {
        /// The command it was given to.
        command: Option<Named>,
        /// What is wrong.
        reason: String,
    },
    /// A word is not one of those that are possible.
    #[error("\"{typed}\" is not one of {}", choices.join(", "))]
    Choice {
        /// The command it was given to.
        command: Option<Named>,
        /// What was typed.
        typed: String,
        /// What is possible.
        choices: &'static [&'static str],
    },
    /// An operand is missing.
    #[error("{} needs {operand}", command.name)]
    MissingOperand {
        /// The command.
        command: Named,
        /// The operand's name.
        operand: &'static str,
    },
    /// There is one operand too many. What it was is not repeated: it may be
    /// a secret.
    #[error("{} takes {}", command.name, counted(*limit))]
    ExtraOperand {
        /// The command.
        command: Named,
        /// How many it takes.
        limit: usize,
    },
}

fn counted(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".to_owned(),
        1 => "one argument".to_owned(),
        many => format!("{many} arguments"),
    }
}

/// A command, compared by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Named {
    /// The command's name.
    pub(crate) name: &'static str,
}

impl From<&'static Command> for Named {
    fn from(command: &'static Command) -> Self {
        Self { name: command.name }
    }
}

impl ParseError {
    /// The word that was probably meant.
    pub(crate) fn nearest(&self) -> Option<&'static str> {
        match self {
            Self::UnknownCommand { nearest, .. } | Self::UnknownFlag { nearest, .. } => *nearest,
            Self::Choice { typed, choices, .. } => nearest_of(typed, choices),
            Self::NoCommand
            | Self::Value { .. }
            | Self::MissingOperand { .. }
            | Self::ExtraOperand { .. } => None,
        }
    }

    /// The command that was being read.
    pub(crate) fn command(&self) -> Option<Named> {
        match self {
            Self::NoCommand | Self::UnknownCommand { .. } => None,
            Self::UnknownFlag { command, .. }
            | Self::Value { command, .. }
            | Self::Choice { command, .. } => *command,
            Self::MissingOperand { command, .. } | Self::ExtraOperand { command, .. } => {
                Some(*command)
            }
        }
    }
}

fn nearest_of(typed: &str, choices: &'static [&'static str]) -> Option<&'static str> {
    nearest(typed, choices.iter().copied())
}

/// Reads `arguments`, which do not include the program's own name.
pub(crate) fn parse(
    program: &Program,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Request, ParseError> {
    let mut reader = Reader {
        program,
        lexer: lexopt::Parser::from_args(arguments),
        command: None,
        matches: Matches::default(),
    };
    if let Some(request) = reader.read()? {
        return Ok(request);
    }
    let command = reader.command.ok_or(ParseError::NoCommand)?;
    let given = reader.matches.operands.len();
    match command.operands.get(given) {
        Some(operand) if !operand.optional => Err(ParseError::MissingOperand {
            command: command.into(),
            operand: operand.name,
        }),
        Some(_) | None => Ok(Request::Run(command, reader.matches)),
    }
}

struct Reader<'a> {
    program: &'a Program,
    lexer: lexopt::Parser,
    command: Option<&'static Command>,
    matches: Matches,
}

impl Reader<'_> {
    /// Reads to the end, or to a flag that decides the request by itself.
    fn read(&mut self) -> Result<Option<Request>, ParseError> {
        loop {
            let named = self.command.map(Named::from);
            let next = self.lexer.next().map_err(|error| ParseError::Value {
                command: named,
                reason: error.to_string(),
            })?;
            let (typed, flag) = match next {
                None => return Ok(None),
                Some(Arg::Value(word)) => {
                    self.word(word)?;
                    continue;
                }
                Some(Arg::Long(long)) => {
                    let typed = format!("--{long}");
                    let flag = flags_after(self.command).find(|flag| flag.long == long);
                    (typed, flag)
                }
                Some(Arg::Short(short)) => {
                    let flag = flags_after(self.command).find(|flag| flag.short == Some(short));
                    (format!("-{short}"), flag)
                }
            };
            let Some(flag) = flag else {
                return Err(self.unknown_flag(typed));
            };
            if flag.long == HELP.long {
                let length = if typed.starts_with("--") {
                    Length::Long
                } else {
                    Length::Short
                };
                return Ok(Some(Request::Help(self.command, length)));
            }
            if flag.long == VERSION.long {
                return Ok(Some(Request::Version));
            }
            self.flag(flag)?;
        }
    }

    fn unknown_flag(&self, typed: String) -> ParseError {
        let nearest = typed
            .strip_prefix("--")
            .and_then(|long| nearest(long, flags_after(self.command).map(|flag| flag.long)));
        ParseError::UnknownFlag {
            command: self.command.map(Named::from),
            typed,
            nearest,
        }
    }

    /// Takes a flag's value, if it has one, and remembers both.
    fn flag(&mut self, flag: &'static Flag) -> Result<(), ParseError> {
        let command = self.command.map(Named::from);
        let value = match &flag.value {
            None => None,
            Some(expected) => {
                let value = self.lexer.value().map_err(|_| ParseError::Value {
                    command,
                    reason: format!("--{} needs {}", flag.long, expected.name),
                })?;
                self.check(expected.kind, &value)?;
                Some(value)
            }
        };
        self.matches.flags.push((flag.long, value));
        Ok(())
    }

    /// Takes a word: the command, or one of its operands.
    fn word(&mut self, word: OsString) -> Result<(), ParseError> {
        let Some(command) = self.command else {
            self.command = Some(self.named(&word)?);
            return Ok(());
        };
        let place = self.matches.operands.len();
        let Some(operand) = command.operands.get(place) else {
            return Err(ParseError::ExtraOperand {
                command: command.into(),
                limit: command.operands.len(),
            });
        };
        self.check(operand.kind, &word)?;
        self.matches.operands.push(word);
        Ok(())
    }

    fn named(&self, word: &OsStr) -> Result<&'static Command, ParseError> {
        let typed = word.to_string_lossy();
        self.program
            .command(&typed)
            .ok_or_else(|| ParseError::UnknownCommand {
                nearest: nearest(&typed, self.program.public().map(|command| command.name)),
                typed: without_secret(&typed),
            })
    }

    fn check(&self, kind: Kind, word: &OsStr) -> Result<(), ParseError> {
        match kind {
            Kind::Text | Kind::File => Ok(()),
            Kind::Command => self.named(word).map(drop),
            Kind::OneOf(choices) => {
                if choices.iter().any(|choice| word == OsStr::new(choice)) {
                    Ok(())
                } else {
                    Err(ParseError::Choice {
                        command: self.command.map(Named::from),
                        typed: without_secret(&word.to_string_lossy()),
                        choices,
                    })
                }
            }
        }
    }
}

/// The flags that may be given after `command`, or before any.
fn flags_after(command: Option<&'static Command>) -> impl Iterator<Item = &'static Flag> {
    let own = command.map_or(&[][..], |command| command.flags);
    own.iter().copied().chain(GLOBAL)
}

/// A word as it may be repeated: of a link, only its scheme.
fn without_secret(word: &str) -> String {
    match word.split_once("://") {
        Some((scheme, _)) => format!("{scheme}://..."),
        None => word.to_owned(),
    }
}

/// Whether an argument list asks for JSON, even if it cannot be parsed.
pub(crate) fn wants_json(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word.to_str().and_then(|word| word.strip_prefix("--")) == Some(JSON.long))
}

/// What an argument list says of colour, even if it cannot be parsed.
pub(crate) fn wants_color(arguments: &[OsString]) -> Option<&str> {
    let mut words = arguments.iter().filter_map(|word| word.to_str());
    let mut found = None;
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix("--") else {
            continue;
        };
        match flag.split_once('=') {
            Some((long, value)) if long == COLOR.long => found = Some(value),
            None if flag == COLOR.long => found = words.next(),
            Some(_) | None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::spec::{Group, Operand, Value};
    use super::*;

    const LEVEL: Flag = Flag {
        long: "level",
        short: Some('l'),
        value: Some(Value {
            name: "LEVEL",
            kind: Kind::OneOf(&["low", "high"]),
        }),
        summary: "How high",
        details: "",
    };
    const FAST: Flag = Flag {
        long: "fast",
        short: Some('f'),
        value: None,
        summary: "Hurry",
        details: "",
    };
    const GO: Command = Command {
        name: "go",
        group: Group::Tunnel,
        summary: "Go somewhere",
        about: "",
        operands: &[
            Operand {
                name: "PLACE",
                summary: "Where to",
                optional: false,
                kind: Kind::Text,
            },
            Operand {
                name: "WHEN",
                summary: "At what time",
                optional: true,
                kind: Kind::OneOf(&["now", "later"]),
            },
        ],
        flags: &[&LEVEL, &FAST],
        examples: &[],
    };
    const PROGRAM: Program = Program {
        name: "trip",
        summary: "Goes places",
        about: "",
        commands: &[&GO],
        exit_codes: &[],
        files: &[],
        settings: ("", &[]),
        environment: &[],
    };

    fn read(line: &str) -> Result<Request, ParseError> {
        parse(&PROGRAM, line.split_whitespace().map(OsString::from))
    }

    fn matches(line: &str) -> Matches {
        match read(line) {
            Ok(Request::Run(_, matches)) => matches,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn flags_and_operands_in_any_order() {
        let found = matches("--json go -f --level=high home --level low later");
        assert!(found.has(&FAST) && found.has(&JSON));
        assert_eq!(found.value(&LEVEL), Some(OsStr::new("low")));
        assert_eq!(found.operand(0), Some(OsStr::new("home")));
        assert_eq!(found.operand(1), Some(OsStr::new("later")));
    }

    #[test]
    fn a_dash_is_an_operand() {
        assert_eq!(matches("go -").operand(0), Some(OsStr::new("-")));
        assert_eq!(
            matches("go -- --fast").operand(0),
            Some(OsStr::new("--fast"))
        );
    }

    #[test]
    fn help_is_short_or_long() {
        assert!(matches!(read("-h"), Ok(Request::Help(None, Length::Short))));
        assert!(matches!(
            read("go --help"),
            Ok(Request::Help(Some(command), Length::Long)) if command.name == "go"
        ));
        assert!(matches!(read("go -V"), Ok(Request::Version)));
    }

    #[test]
    fn mistakes_name_what_was_meant() {
        let unknown = read("og").expect_err("no such command");
        assert_eq!(unknown.nearest(), Some("go"));
        let flag = read("go --fats").expect_err("no such flag");
        assert_eq!(flag.to_string(), "go has no flag \"--fats\"");
        assert_eq!(flag.nearest(), Some("fast"));
        let choice = read("go home nwo").expect_err("no such time");
        assert_eq!(choice.nearest(), Some("now"));
    }

    #[test]
    fn a_link_in_the_wrong_place_is_not_repeated() {
        let unknown = read("vless://secret@host:443").expect_err("no such command");
        assert_eq!(unknown.to_string(), "there is no command \"vless://...\"");
        let choice = read("go home vless://secret@host").expect_err("no such time");
        assert!(!choice.to_string().contains("secret"));
    }

    #[test]
    fn too_few_and_too_many() {
        assert_eq!(read("").expect_err("nothing"), ParseError::NoCommand);
        assert_eq!(
            read("go").expect_err("no place").to_string(),
            "go needs PLACE"
        );
        let extra = read("go home now secret").expect_err("too many");
        assert!(!extra.to_string().contains("secret"));
        assert_eq!(
            read("go home --level").expect_err("no level").to_string(),
            "--level needs LEVEL"
        );
        assert!(read("go home --fast=yes").is_err());
    }

    #[test]
    fn json_and_color_are_seen_in_a_list_that_does_not_parse() {
        let list: Vec<OsString> = ["nonsense", "--json", "--color=never"]
            .map(OsString::from)
            .to_vec();
        assert!(wants_json(&list));
        assert_eq!(wants_color(&list), Some("never"));
        assert!(!wants_json(&["--".into(), "--json".into()]));
    }
}
