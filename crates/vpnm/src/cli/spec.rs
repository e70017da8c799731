//! What a command line may say.

/// The program: what it is called and the commands it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// The name that is typed.
    pub(crate) name: &'static str,
    /// One line, without a full stop.
    pub(crate) summary: &'static str,
    /// Paragraphs, separated by blank lines.
    pub(crate) about: &'static str,
    /// Every command, in the order of the help text.
    pub(crate) commands: &'static [&'static Command],
    /// The meaning of every exit code.
    pub(crate) exit_codes: &'static [(u8, &'static str)],
    /// Files a user may want to know: path and purpose.
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Where the settings are, and each of them as an example with its meaning.
    pub(crate) settings: (&'static str, &'static [(&'static str, &'static str)]),
    /// Environment variables the program reads: name and effect.
    pub(crate) environment: &'static [(&'static str, &'static str)],
}

impl Program {
    /// The command called `name`.
    pub(crate) fn command(&self, name: &str) -> Option<&'static Command> {
        self.commands
            .iter()
            .copied()
            .find(|command| command.name == name)
    }

    /// The commands that are shown to people.
    pub(crate) fn public(&self) -> impl Iterator<Item = &'static Command> {
        self.commands
            .iter()
            .copied()
            .filter(|command| command.group != Group::Internal)
    }
}

/// One command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Command {
    /// The word that is typed.
    pub(crate) name: &'static str,
    /// Where the help text lists it.
    pub(crate) group: Group,
    /// One line, without a full stop.
    pub(crate) summary: &'static str,
    /// Paragraphs, separated by blank lines.
    pub(crate) about: &'static str,
    /// What may follow the command, in order.
    pub(crate) operands: &'static [Operand],
    /// Its own flags; [`GLOBAL`] ones are understood besides.
    pub(crate) flags: &'static [&'static Flag],
    /// Lines that work as they stand: what is typed and what it does.
    pub(crate) examples: &'static [(&'static str, &'static str)],
}

/// The headings of the help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// What a user does every day.
    Tunnel,
    /// What keeps the machine in order.
    System,
    /// What helps with the program itself.
    Tools,
    /// Started by the program only; not shown.
    Internal,
}

impl Group {
    /// The groups that are shown, in order.
    pub(crate) const SHOWN: [Self; 3] = [Self::Tunnel, Self::System, Self::Tools];

    /// The heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tunnel => "Tunnel",
            Self::System => "System",
            Self::Tools => "Tools",
            Self::Internal => "Internal",
        }
    }
}

/// A word that is given by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand {
    /// How the help text writes it, in capitals.
    pub(crate) name: &'static str,
    /// One line, without a full stop.
    pub(crate) summary: &'static str,
    /// Whether it may be left out.
    pub(crate) optional: bool,
    /// What it may be.
    pub(crate) kind: Kind,
}

/// A flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    /// The name after two dashes.
    pub(crate) long: &'static str,
    /// The letter after one dash.
    pub(crate) short: Option<char>,
    /// The value it takes, if it takes one.
    pub(crate) value: Option<Value>,
    /// One line, without a full stop.
    pub(crate) summary: &'static str,
    /// More about it: paragraphs, may be empty.
    pub(crate) details: &'static str,
}

/// What a flag's value is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value {
    /// How the help text writes it, in capitals.
    pub(crate) name: &'static str,
    /// What it may be.
    pub(crate) kind: Kind,
}

/// What a word may be; the parser checks it, the completions offer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// The path of a file.
    File,
    /// The name of a command of this program.
    Command,
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// `--json`
pub(crate) const JSON: Flag = Flag {
    long: "json",
    short: None,
    value: None,
    summary: "Print one JSON object instead of text",
    details: "The object carries \"schema_version\"; fields are only ever added to a version. \
              A failure is an object too, with \"error\". Commands that go on, such as \
              \"status --watch\", print one object per line.",
};

/// `--color`
pub(crate) const COLOR: Flag = Flag {
    long: "color",
    short: None,
    value: Some(Value {
        name: "WHEN",
        kind: Kind::OneOf(&["auto", "always", "never"]),
    }),
    summary: "Colour the output: auto, always or never",
    details: "The default is auto: colour on a terminal, unless NO_COLOR is set or TERM is dumb.",
};

/// `--help`
pub(crate) const HELP: Flag = Flag {
    long: "help",
    short: Some('h'),
    value: None,
    summary: "Explain the command: -h in short, --help at length",
    details: "",
};

/// `--version`
pub(crate) const VERSION: Flag = Flag {
    long: "version",
    short: Some('V'),
    value: None,
    summary: "Print the version",
    details: "",
};

/// The flags that every command understands.
pub(crate) const GLOBAL: [&Flag; 4] = [&JSON, &COLOR, &HELP, &VERSION];
