//! The daemons that the manager starts, each a process of its own.

use std::io::Write as _;
use std::path::PathBuf;

use anyd::{Daemon, Limits, Socket, systemd};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// The manager's directory, in a process that the manager has started.
fn place() -> Option<PathBuf> {
    std::env::var_os("ANYD_TEST_DAEMON").map(PathBuf::from)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Listens where it is told and at a place of its own.
#[test]
fn helper_serves() {
    let Some(place) = place() else { return };
    let mut daemon = Daemon::new(anyd::product!());
    for name in ["api", "admin", "own"] {
        daemon = daemon.listen(Socket::path(place.join(name)));
    }
    runtime().block_on(daemon.run(anyd::signals())).unwrap();
}

/// Keeps a descriptor in the manager's store, and writes to it at each start.
#[test]
fn helper_keeps() {
    let Some(place) = place() else { return };
    let (kept, word) = match systemd::stored_fd("tun") {
        Some(kept) => (kept, "again"),
        None => {
            let made = std::fs::File::create(place.join("device")).unwrap();
            systemd::store_fd("tun", &made).unwrap();
            (made.into(), "first")
        }
    };
    assert!(systemd::stored_fds().is_empty(), "one was passed");
    systemd::status(word).unwrap();
    let mut file = std::fs::File::from(kept);
    file.write_all(word.as_bytes()).unwrap();
    let daemon = Daemon::new(anyd::product!()).listen(Socket::path(place.join("api")));
    runtime().block_on(daemon.run(anyd::signals())).unwrap();
    if word == "again" {
        systemd::remove_fd("tun").unwrap();
    }
}

/// Reads its settings again at SIGHUP, as a unit with `Type=notify-reload` has
/// it.
#[test]
fn helper_reloads() {
    let Some(place) = place() else { return };
    let daemon = Daemon::new(anyd::product!()).listen(Socket::path(place.join("api")));
    runtime().block_on(async {
        let mut asked = signal(SignalKind::hangup()).unwrap();
        let reloading = async {
            while asked.recv().await.is_some() {
                systemd::reloading().unwrap();
                systemd::status("reading").unwrap();
                systemd::ready().unwrap();
            }
        };
        tokio::select! {
            ended = daemon.run(anyd::signals()) => ended.unwrap(),
            () = reloading => {}
        }
    });
}

/// Has descriptors for a few connections only.
#[test]
fn helper_is_poor() {
    let Some(place) = place() else { return };
    let few = Some(90);
    let limit = Rlimit {
        current: few,
        maximum: few,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let open = || std::fs::File::open("/dev/null");
    let hoard: Vec<_> = (0..60).map(|_| open().unwrap()).collect();
    let daemon = Daemon::new(anyd::product!())
        .listen(Socket::path(place.join("api")))
        .limits(Limits {
            conns: 10_000,
            conns_per_uid: 10_000,
            // Those who have come stay.
            first: std::time::Duration::from_secs(600),
            ..Limits::default()
        });
    runtime().block_on(daemon.run(anyd::signals())).unwrap();
    drop(hoard);
}
