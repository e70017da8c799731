//! Helpers for tests: a daemon and its client in one process, without a file,
//! without root, with any identity.

use std::path::Path;

use crate::client::Client;
use crate::peer::Peer;
use crate::server::{Daemon, Product, Service};

/// A client of a daemon that serves one interface, connected as `peer`. The
/// daemon runs in the tokio runtime around, and ends with the client.
///
/// # Panics
///
/// When the system has no descriptors left.
#[must_use]
pub fn pair(service: impl Service, peer: Peer) -> Client {
    connect(Daemon::new(Product::default()).serve(service), peer)
}

/// As [`pair`], with a daemon that has been put together by the test.
///
/// # Panics
///
/// When the system has no descriptors left.
#[must_use]
pub fn connect(daemon: Daemon, peer: Peer) -> Client {
    let (ours, theirs) =
        std::os::unix::net::UnixStream::pair().expect("the system has descriptors left");
    let daemon = daemon.serve_stream_as(theirs, peer);
    tokio::spawn(daemon.run(std::future::pending()));
    Client::from_stream(ours).expect("a socket can be waited for")
}

/// Compares a text with the one in a file, which is part of the tree, so that
/// a change of an interface shows up in review. With `UPDATE_GOLDEN=1` in the
/// environment the file is written instead.
///
/// # Panics
///
/// When the texts differ; says where.
pub fn golden(file: impl AsRef<Path>, text: &str) {
    let file = file.as_ref();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, text).expect("the golden file can be written");
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    let differing = expected
        .lines()
        .zip(text.lines())
        .position(|(expected, got)| expected != got);
    let line = differing.unwrap_or_else(|| expected.lines().count().min(text.lines().count()));
    assert!(
        expected == text,
        "{} differs from line {} on: expected {:?}, got {:?}; UPDATE_GOLDEN=1 accepts the change",
        file.display(),
        line + 1,
        expected.lines().nth(line),
        text.lines().nth(line),
    );
}
