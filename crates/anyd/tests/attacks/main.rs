//! What a hostile local user can do to a root daemon: nothing. Each attack
//! runs as another user where the tests run as root.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "an integration test is a test module"
)]

mod arena;
mod backlog;
mod connections;
mod crowds;
mod descriptors;
mod encodings;
mod exhaustion;
mod identity;
mod messages;
mod panics;
mod shutdown;
mod sockets;
mod target;
mod time;
