//! What the tasks say.

use std::io::{self, Write as _};

/// A line on standard output. A reader that has gone is no failure of a check.
pub(crate) fn line(text: &str) {
    let _gone = writeln!(io::stdout().lock(), "{text}");
}

/// A line on standard error.
pub(crate) fn error(text: &str) {
    let _gone = writeln!(io::stderr().lock(), "xtask: {text}");
}
