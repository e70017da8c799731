//! Colour, where it helps and is wanted.

use std::borrow::Cow;
use std::ffi::OsStr;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Colour {
    /// Reads the value of `--color`; anything unknown is `Auto`.
    pub(crate) fn named(word: Option<&str>) -> Self {
        match word {
            Some("always") => Self::Always,
            Some("never") => Self::Never,
            Some(_) | None => Self::Auto,
        }
    }
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// A heading.
    Title,
    /// Something to type.
    Command,
    /// Something that is as it should be.
    Good,
    /// Something that is not.
    Bad,
    /// Something on its way.
    Busy,
    /// Something less important.
    Faint,
}

/// How a stream is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// No colour at all.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { coloured: false };

    /// The style of a stream. `NO_COLOR` counts when it is not empty
    /// (<https://no-color.org>).
    pub(crate) fn new(colour: Colour, is_terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let coloured = match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => {
                is_terminal
                    && set("NO_COLOR").is_none()
                    && set("TERM").as_deref() != Some(OsStr::new("dumb"))
            }
        };
        Self { coloured }
    }

    /// `text`, coloured as `paint` says.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> Cow<'_, str> {
        if !self.coloured || text.is_empty() {
            return Cow::Borrowed(text);
        }
        let code = match paint {
            Paint::Title => "1",
            Paint::Command => "1;36",
            Paint::Good => "32",
            Paint::Bad => "1;31",
            Paint::Busy => "33",
            Paint::Faint => "2",
        };
        Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m"))
    }

    /// `text`, padded with spaces to `width` columns and then coloured.
    pub(crate) fn pad(self, paint: Paint, text: &str, width: usize) -> String {
        let missing = width.saturating_sub(text.chars().count());
        format!("{}{:missing$}", self.paint(paint, text), "")
    }
}

#[cfg(test)]
mod tests {
    use super::{Colour, Paint, Style};

    #[test]
    fn colour_is_asked_for_or_left_out() {
        let always = Style::new(Colour::Always, false);
        assert_eq!(always.paint(Paint::Good, "yes"), "\x1b[32myes\x1b[0m");
        let never = Style::new(Colour::Never, true);
        assert_eq!(never, Style::PLAIN);
        assert_eq!(never.paint(Paint::Bad, "no"), "no");
        assert_eq!(Style::new(Colour::Auto, false), Style::PLAIN);
    }

    #[test]
    fn padding_counts_letters_not_escapes() {
        let always = Style::new(Colour::Always, false);
        assert_eq!(always.pad(Paint::Title, "ab", 4), "\x1b[1mab\x1b[0m  ");
        assert_eq!(Style::PLAIN.pad(Paint::Title, "abcde", 4), "abcde");
    }
}
