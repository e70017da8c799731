//! The demo as people see it.

use std::time::Duration;

use crate::output::{Mark, Output, OutputError, Paint};

/// Acts with a title, lines with a label.
#[derive(Debug)]
pub(super) struct Screen {
    output: Output,
    act: usize,
}

impl Screen {
    /// An empty screen.
    pub(super) fn new(output: Output) -> Self {
        Self { output, act: 0 }
    }

    /// What is about to be seen, and where.
    pub(super) fn opening(&self, map: &str) -> Result<(), OutputError> {
        let style = self.output.style();
        let title = style.paint(Paint::Title, "vpnm demo");
        self.output.line(format!(
            "{title}: the real daemon and engine, in a world of their own; this machine is not touched\n"
        ))?;
        self.output.line(style.paint(Paint::Faint, map))
    }

    /// Begins the next act.
    pub(super) fn act(&mut self, title: &str) -> Result<(), OutputError> {
        self.act += 1;
        let style = self.output.style();
        self.output.line(format!(
            "\n {}  {}",
            style.paint(Paint::Faint, &self.act.to_string()),
            style.paint(Paint::Title, title)
        ))
    }

    /// Something that was seen.
    pub(super) fn seen(&self, label: &str, text: &str) -> Result<(), OutputError> {
        self.line(Mark::Plain, label, text)
    }

    /// Something that was seen and had to be so.
    pub(super) fn proved(&self, holds: bool, label: &str, text: &str) -> Result<(), OutputError> {
        self.line(Mark::of(holds), label, text)
    }

    fn line(&self, mark: Mark, label: &str, text: &str) -> Result<(), OutputError> {
        let lines = mark.line(self.output.style(), label, text);
        self.output
            .line(format!("    {}", lines.replace('\n', "\n    ")))
    }

    /// The end of a demo in which everything held.
    pub(super) fn closing(&self, elapsed: Duration) -> Result<(), OutputError> {
        let style = self.output.style();
        self.output.line(format!(
            "\n {} in {:.1} s; nothing is left behind",
            style.paint(Paint::Good, "everything held"),
            elapsed.as_secs_f64()
        ))
    }
}

/// A rate in bits per second, with a decimal prefix and three digits.
pub(super) fn rate(bits: u64) -> String {
    let mut unit = 0;
    let mut tenths = bits.saturating_mul(10);
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if tenths >= 1000 {
        format!("{} {name}", tenths / 10)
    } else {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    }
}

const UNITS: [&str; 5] = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];

/// A number with its thousands apart.
pub(super) fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// What `part` is of `whole`, in percent.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_prefix() {
        assert_eq!(rate(0), "0.0 bit/s");
        assert_eq!(rate(950), "950 bit/s");
        assert_eq!(rate(9_460_000_000), "9.4 Gbit/s");
        assert_eq!(rate(123_000_000), "123 Mbit/s");
        assert!(rate(u64::MAX).ends_with("Tbit/s"));
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1_204), "1 204");
        assert_eq!(number(1_234_567), "1 234 567");
    }

    #[test]
    fn percents_of_nothing() {
        assert_eq!(percent(1, 4), 25);
        assert_eq!(percent(1, 0), 100);
    }
}
