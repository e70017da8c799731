//! This crate against a real kernel, each test in network namespaces of its own,
//! judged by `ip`, `nft` and a record of the frames on the wire.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::tests_outside_test_module,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "the whole program is a test"
)]

mod foreign;
mod interfaces;
mod leaks;
mod lifecycle;
mod names;
mod neighbours;
mod repair;
mod shadow;
mod support;
