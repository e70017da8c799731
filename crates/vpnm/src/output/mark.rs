//! Lines of something that was looked at: a sign, a label, and what was seen.

use super::{Paint, Style};

/// Width of the labels.
const LABEL: usize = 11;

/// How something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// As it must be.
    Good,
    /// Not as it must be.
    Bad,
    /// Neither good nor bad.
    Plain,
    /// It may be bad.
    Doubtful,
}

impl Mark {
    /// Good if `holds`, else bad.
    pub(crate) fn of(holds: bool) -> Self {
        if holds { Self::Good } else { Self::Bad }
    }

    /// The lines of `text`, the first with sign and label; no line feed at the end.
    pub(crate) fn line(self, style: Style, label: &str, text: &str) -> String {
        let (paint, sign) = match self {
            Self::Good => (Paint::Good, "+"),
            Self::Bad => (Paint::Bad, "!"),
            Self::Plain => (Paint::Faint, "-"),
            Self::Doubtful => (Paint::Busy, "~"),
        };
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        let head = format!(
            "{} {}{first}",
            style.paint(paint, sign),
            style.pad(Paint::Faint, label, LABEL)
        );
        lines.fold(head, |text, line| format!("{text}\n  {:LABEL$}{line}", ""))
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Style};

    #[test]
    fn further_lines_stand_below_the_first() {
        assert_eq!(
            Mark::of(true).line(Style::PLAIN, "page", "one\ntwo"),
            "+ page       one\n             two"
        );
        assert!(
            Mark::of(false)
                .line(Style::PLAIN, "x", "y")
                .starts_with('!')
        );
        assert_eq!(Mark::Plain.line(Style::PLAIN, "x", ""), "- x          ");
    }
}
