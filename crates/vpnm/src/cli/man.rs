//! The manual page, in roff.

use super::help::{head, spelling};
use super::spec::{Command, Flag, GLOBAL, Program};

/// The page `vpnm(1)`.
pub(crate) fn page(program: &Program, version: &str) -> String {
    let mut roff = Roff::default();
    let title = program.name.to_uppercase();
    roff.request(&format!(
        ".TH {title} 1 \"\" \"{} {version}\" \"User Commands\"",
        program.name
    ));
    roff.section("NAME");
    roff.text(&format!("{} - {}", program.name, program.summary));
    roff.section("SYNOPSIS");
    roff.request(&format!(".B {}", program.name));
    roff.request(".I COMMAND\n[\\fIFLAGS\\fR]");
    roff.section("DESCRIPTION");
    roff.text(program.about);
    roff.section("COMMANDS");
    for command in program.public() {
        describe(&mut roff, program, command);
    }
    roff.section("FLAGS OF EVERY COMMAND");
    for flag in GLOBAL {
        roff.flag(flag);
    }
    roff.section("EXIT STATUS");
    for (code, meaning) in program.exit_codes {
        roff.item(&code.to_string(), meaning);
    }
    roff.section("SETTINGS");
    let (file, settings) = program.settings;
    roff.text(file);
    for (example, meaning) in settings {
        roff.item(example, meaning);
    }
    roff.section("FILES");
    for (path, purpose) in program.files {
        roff.item(path, purpose);
    }
    roff.section("ENVIRONMENT");
    for (name, effect) in program.environment {
        roff.item(name, effect);
    }
    roff.0
}

fn describe(roff: &mut Roff, program: &Program, command: &Command) {
    roff.request(&format!(
        ".SS \"{} {}\"",
        escape(program.name),
        escape(&head(command))
    ));
    roff.text(&format!("{}.", command.summary));
    roff.text(command.about);
    for operand in command.operands {
        roff.item(operand.name, operand.summary);
    }
    for flag in command.flags {
        roff.flag(flag);
    }
    for (line, effect) in command.examples {
        roff.request(".PP");
        roff.request(".EX");
        roff.text(&format!(" {line}"));
        roff.request(".EE");
        roff.text(effect);
    }
}

/// Roff source, as it grows.
#[derive(Default)]
struct Roff(String);

impl Roff {
    fn request(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.request(&format!(".SH {title}"));
    }

    /// Paragraphs; lines that start with a space are shown as they stand.
    fn text(&mut self, text: &str) {
        let mut literal = false;
        for line in text.lines() {
            if line.starts_with(' ') != literal && !line.is_empty() {
                literal = !literal;
                self.request(if literal { ".nf" } else { ".fi" });
            }
            if line.is_empty() {
                self.request(".PP");
            } else {
                self.request(&escape(line));
            }
        }
        if literal {
            self.request(".fi");
        }
    }

    fn item(&mut self, name: &str, about: &str) {
        self.request(".TP");
        self.request(&format!(".B {}", escape(name)));
        self.text(about);
    }

    fn flag(&mut self, flag: &Flag) {
        self.request(".TP");
        self.request(&format!("\\fB{}\\fR", escape(&spelling(flag))));
        self.text(&format!("{}.", flag.summary));
        if !flag.details.is_empty() {
            self.text(flag.details);
        }
    }
}

/// Text that roff takes for what it is: dashes are typed dashes, a leading
/// dot or quote is no request.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) {
        format!("\\&{escaped}")
    } else {
        escaped
    }
}

#[cfg(test)]
mod tests {
    use super::{Roff, escape};

    #[test]
    fn roff_takes_text_for_text() {
        assert_eq!(escape(".TH"), "\\&.TH");
        assert_eq!(escape("a-b\\c"), "a\\-b\\ec");
    }

    #[test]
    fn literal_lines_are_not_filled() {
        let mut roff = Roff::default();
        roff.text("words\n\n  code\n\nwords");
        assert_eq!(roff.0, "words\n.PP\n.nf\n  code\n.PP\n.fi\nwords\n");
    }
}
