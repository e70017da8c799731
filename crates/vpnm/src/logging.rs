//! Where the records of the long-running commands go: to standard error.

use std::io;

use tracing::level_filters::LevelFilter;

use crate::cli::parse::Matches;
use crate::cli::spec::{Flag, Kind, Value};

/// `--log`
pub(crate) const LEVEL: Flag = Flag {
    long: "log",
    short: None,
    value: Some(Value {
        name: "LEVEL",
        kind: Kind::OneOf(&["error", "warn", "info", "debug", "trace"]),
    }),
    summary: "What is written to the log: error, warn, info, debug or trace (info)",
    details: "Addresses and names of what you connect to appear from debug on. The log goes to \
              standard error.",
};

/// Starts to write, from the level that `matches` asks for.
pub(crate) fn start(matches: &Matches) {
    let level = matches
        .value(&LEVEL)
        .and_then(|word| word.to_str())
        .and_then(|word| word.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    start_at(level);
}

/// Starts to write, from `level` on.
pub(crate) fn start_at(level: LevelFilter) {
    let writer = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false);
    // The journal of systemd stamps every line itself, and so does the daemon.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        writer.without_time().init();
    } else {
        writer.init();
    }
}
