//! Rows of a label and a value, aligned.

use super::{Paint, Style};

/// Labels on the left, values on the right, two spaces between.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, Vec<String>)>,
}

impl Table {
    /// Adds a row; further lines of `value` go below the first.
    pub(crate) fn row(&mut self, label: impl Into<String>, value: impl AsRef<str>) -> &mut Self {
        let lines = value.as_ref().lines().map(str::to_owned).collect();
        self.rows.push((label.into(), lines));
        self
    }

    /// The rows, each line indented by `indent` spaces, labels painted.
    pub(crate) fn render(&self, style: Style, paint: Paint, indent: usize) -> String {
        let width = self
            .rows
            .iter()
            .map(|(label, _)| label.chars().count())
            .max()
            .unwrap_or_default();
        let mut text = String::new();
        for (label, lines) in &self.rows {
            let label = style.pad(paint, label, width);
            let first = lines.first().map(String::as_str).unwrap_or_default();
            let line = format!("{:indent$}{label}  {first}", "");
            text.push_str(line.trim_end());
            text.push('\n');
            for line in lines.iter().skip(1) {
                let margin = indent + width + 2;
                let line = format!("{:margin$}{line}", "");
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }
}

/// `text`, broken between words so that no line is wider than `width`.
/// Lines that start with a space stay as they are.
pub(crate) fn wrap(text: &str, width: usize) -> String {
    let mut out: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        if paragraph.starts_with(' ') {
            out.push(paragraph.to_owned());
            continue;
        }
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let wider = line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && wider > width {
                out.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        out.push(line);
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::default();
        table.row("state", "connected").row("ip", "one\ntwo");
        assert_eq!(
            table.render(Style::PLAIN, Paint::Faint, 2),
            "  state  connected\n  ip     one\n         two\n"
        );
    }

    #[test]
    fn words_wrap_and_blocks_stay() {
        assert_eq!(wrap("one two three", 7), "one two\nthree");
        assert_eq!(wrap("a b\n\n  code  line", 3), "a b\n\n  code  line");
    }
}
