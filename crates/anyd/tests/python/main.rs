//! The unmodified PyPI package `anyd` 0.4.1, on every CPython that is here,
//! against a daemon of this crate; and pickles that no honest client sends.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an integration test is a test module"
)]

mod daemon;
mod hostile;
mod package;
