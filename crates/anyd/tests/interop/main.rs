//! Programs of others, unmodified, against this crate: the client and the
//! server of PyPI `varlink` with the certification suite that it ships, those of
//! zlink, and `varlinkctl`.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an integration test is a test module"
)]

mod certification;
mod counter;
mod foreign;
mod varlink_python;
mod varlinkctl;
mod zlink;
