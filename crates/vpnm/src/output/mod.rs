//! Everything the program says: text for people, JSON for machines.
//!
//! Answers go to standard output, everything else (progress, hints, failures)
//! to standard error. With `--json` standard output carries JSON only, one
//! value per line.

mod latency;
mod mark;
mod problem;
mod progress;
mod style;
mod table;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use thiserror::Error;

pub(crate) use latency::latency;
pub(crate) use mark::Mark;
pub(crate) use problem::{Failure, Problem, chain};
pub(crate) use progress::{Progress, Reporter};
pub(crate) use style::{Colour, Paint, Style};
pub(crate) use table::{Table, wrap};

/// The version of every JSON object the program prints. It rises when a field
/// is removed or changes its meaning, not when one is added.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// Standard output or standard error could not be written.
#[derive(Debug, Error)]
#[error("the output could not be written")]
pub(crate) struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader has gone, as `head` does: it has what it wanted.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// For whom the program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// People.
    Text,
    /// Machines.
    Json,
}

/// Both output streams.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
    style: Style,
    error_style: Style,
}

/// An object of the JSON interface, as it is printed.
#[derive(Serialize)]
struct Versioned<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    body: &'a T,
}

impl Output {
    /// Speaks `format`, coloured as `colour` says.
    pub(crate) fn new(format: Format, colour: Colour) -> Self {
        Self {
            format,
            style: Style::new(colour, io::stdout().is_terminal()),
            error_style: Style::new(colour, io::stderr().is_terminal()),
        }
    }

    /// Whether machines are listening.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// How standard output is coloured.
    pub(crate) fn style(&self) -> Style {
        self.style
    }

    /// How standard error is coloured.
    pub(crate) fn error_style(&self) -> Style {
        self.error_style
    }

    /// Whether progress may be drawn over itself on standard error.
    pub(crate) fn is_interactive(&self) -> bool {
        self.format == Format::Text && io::stderr().is_terminal()
    }

    /// A line of the answer, for people.
    pub(crate) fn line(&self, text: impl AsRef<str>) -> Result<(), OutputError> {
        if self.is_json() {
            return Ok(());
        }
        writeln!(io::stdout().lock(), "{}", text.as_ref())?;
        Ok(())
    }

    /// Text of the answer, for people, just as it stands.
    pub(crate) fn text(&self, text: impl AsRef<str>) -> Result<(), OutputError> {
        if self.is_json() {
            return Ok(());
        }
        let mut stream = io::stdout().lock();
        stream.write_all(text.as_ref().as_bytes())?;
        stream.flush()?;
        Ok(())
    }

    /// The answer for machines: `body`'s fields and `schema_version`, on one
    /// line. `body` must serialize to an object.
    pub(crate) fn json(&self, body: &impl Serialize) -> Result<(), OutputError> {
        if !self.is_json() {
            return Ok(());
        }
        let text = serde_json::to_string(&Versioned {
            schema_version: SCHEMA_VERSION,
            body,
        })
        .map_err(io::Error::from)?;
        let mut stream = io::stdout().lock();
        writeln!(stream, "{text}")?;
        stream.flush()?;
        Ok(())
    }

    /// A line beside the answer, for people: a hint, a step that was taken.
    pub(crate) fn note(&self, text: impl AsRef<str>) -> Result<(), OutputError> {
        if self.is_json() {
            return Ok(());
        }
        writeln!(io::stderr().lock(), "{}", text.as_ref())?;
        Ok(())
    }

    /// Says what went wrong, why, and what to type next.
    pub(crate) fn problem(&self, problem: &Problem) -> Result<(), OutputError> {
        if self.is_json() {
            return self.json(&problem::Report { error: problem });
        }
        io::stderr()
            .lock()
            .write_all(problem.render(self.error_style).as_bytes())?;
        Ok(())
    }
}
