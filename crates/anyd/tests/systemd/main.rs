//! The daemon under a service manager, which the tests play: they pass sockets
//! and descriptors as sd_listen_fds(3) says, and read every datagram of
//! sd_notify(3).
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    reason = "an integration test is a test module"
)]

mod activation;
mod daemon;
mod manager;
mod notices;
mod store;

use anyd::systemd;

#[test]
fn without_a_manager_there_is_nobody_to_tell() {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        assert!(!systemd::ready().unwrap());
        assert!(!systemd::reloading().unwrap());
        assert!(systemd::stored_fd("tun").is_none());
    }
}
