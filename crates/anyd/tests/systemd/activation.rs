//! Sockets that the manager has made.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyd::Trust;
use anyd::server::IntrospectionBlocking;
use rustix::process::Signal;

use crate::manager::{Manager, Passed};

fn assert_serves(path: &Path) {
    let client = anyd::blocking::Client::open_trusting(path, Trust::RootOrSelf).unwrap();
    let info = IntrospectionBlocking::from(client).get_info().unwrap();
    assert_eq!(info.interfaces, ["org.varlink.service"]);
}

#[test]
fn a_daemon_takes_the_sockets_it_is_passed_and_makes_the_rest() {
    let manager = Manager::new();
    let listen = |name: &'static str| {
        let listener = UnixListener::bind(manager.path(name)).unwrap();
        (name, OwnedFd::from(listener))
    };
    // In another order than the daemon's; the third is nobody's.
    let fds = vec![listen("admin"), listen("api"), listen("unused")];
    let passed = Passed {
        fds,
        ..Passed::default()
    };
    let daemon = manager.start("daemon::helper_serves", passed);
    assert_eq!(manager.hear(), "READY=1");
    for name in ["api", "admin", "own"] {
        assert_serves(&manager.path(name));
    }
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear(), "STOPPING=1");
    daemon.ends_well();
    assert!(
        manager.path("api").exists(),
        "the manager's is the manager's"
    );
    assert!(manager.path("admin").exists());
    assert!(!manager.path("own").exists());
}

#[test]
fn who_connects_before_the_daemon_starts_is_served() {
    let manager = Manager::new();
    let listener = UnixListener::bind(manager.path("api")).unwrap();
    let path = manager.path("api");
    let early = std::thread::spawn(move || assert_serves(&path));
    let passed = Passed {
        fds: vec![("api", listener.into())],
        ..Passed::default()
    };
    let daemon = manager.start("daemon::helper_serves", passed);
    early.join().unwrap();
    daemon.signal(Signal::INT);
    assert_eq!(manager.hear(), "READY=1");
    assert_eq!(manager.hear(), "STOPPING=1");
    daemon.ends_well();
}
