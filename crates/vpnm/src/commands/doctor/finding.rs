//! What a check found.

use serde::Serialize;

use crate::output::{Mark, Style};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is wrong.
    Note,
    /// It could not be looked at.
    Unknown,
    /// It may get in the way.
    Warning,
    /// It keeps vpnm from working, or from working well.
    Problem,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What there is.
    pub(super) found: String,
    /// Why that matters; empty where it is as it should be.
    pub(super) why: String,
    /// What to type; empty where nothing is to be done.
    pub(super) next: String,
}

impl Finding {
    pub(super) fn good(found: impl Into<String>) -> Self {
        Self::new(Severity::Good, found, "", "")
    }

    pub(super) fn note(found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Note, found, why, "")
    }

    /// `why` says what would have been needed.
    pub(super) fn unknown(found: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Severity::Unknown, found, why, "")
    }

    pub(super) fn warning(
        found: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, found, why, next)
    }

    pub(super) fn problem(
        found: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Problem, found, why, next)
    }

    fn new(
        severity: Severity,
        found: impl Into<String>,
        why: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            found: found.into(),
            why: why.into(),
            next: next.into(),
        }
    }

    /// As people read it.
    pub(super) fn render(&self, name: &str, style: Style) -> String {
        let mark = match self.severity {
            Severity::Good => Mark::Good,
            Severity::Note | Severity::Unknown => Mark::Plain,
            Severity::Warning => Mark::Doubtful,
            Severity::Problem => Mark::Bad,
        };
        let mut text = self.found.clone();
        for (label, line) in [("why: ", &self.why), ("next: ", &self.next)] {
            if !line.is_empty() {
                text.push('\n');
                text.push_str(label);
                text.push_str(line);
            }
        }
        mark.line(style, name, &text)
    }
}
