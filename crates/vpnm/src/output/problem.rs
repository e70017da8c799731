//! Failures as people and machines are told of them: what happened, why, and
//! what to type next.

use serde::Serialize;

use super::{OutputError, Paint, Style};
use crate::exit::Exit;

/// What a command that did not succeed comes back with.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed.
    Problem(Problem),
    /// What it had to say could not be written.
    Output(OutputError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        Self::Output(error)
    }
}

/// A failure in its three parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    #[serde(skip)]
    pub(crate) exit: Exit,
    /// A word for programs; stable.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
    /// What to type next, or to do.
    pub(crate) next: String,
}

/// The JSON object of a failure.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) error: &'a Problem,
}

impl Problem {
    /// A failure that ends the program with `exit`.
    pub(crate) fn new(
        exit: Exit,
        code: &'static str,
        what: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            exit,
            code,
            what: what.into(),
            why: why.into(),
            next: next.into(),
        }
    }

    /// The text for people.
    pub(super) fn render(&self, style: Style) -> String {
        let part = |paint, label: &str, text: &str| {
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_default();
            let rest: String = lines.map(|line| format!("       {line}\n")).collect();
            format!("{}{first}\n{rest}", style.pad(paint, label, 7))
        };
        let mut text = part(Paint::Bad, "error:", &self.what);
        if !self.why.is_empty() {
            text.push_str(&part(Paint::Faint, "why:", &self.why));
        }
        if !self.next.is_empty() {
            text.push_str(&part(Paint::Command, "next:", &self.next));
        }
        text
    }
}

/// An error and everything it came from, outermost first, as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem::new(
            Exit::Daemon,
            "daemon_unreachable",
            "the daemon does not answer",
            "no socket\nat all",
            "sudo vpnm daemon",
        )
    }

    #[test]
    fn three_parts_are_aligned() {
        assert_eq!(
            problem().render(Style::PLAIN),
            "error: the daemon does not answer\n\
             why:   no socket\n       at all\n\
             next:  sudo vpnm daemon\n"
        );
    }

    #[test]
    fn machines_get_the_same_three_parts() {
        let text = serde_json::to_string(&Report { error: &problem() }).expect("an object");
        assert_eq!(
            text,
            r#"{"error":{"code":"daemon_unreachable","what":"the daemon does not answer","why":"no socket\nat all","next":"sudo vpnm daemon"}}"#
        );
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file could not be read")]
        struct Outer(#[source] std::io::Error);
        let outer = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&outer), "the file could not be read: disk on fire");
    }
}
