//! Descriptors that outlive the daemon.

use std::fs;
use std::io::Write as _;

use rustix::process::Signal;

use crate::manager::{Manager, Passed};

#[test]
fn a_descriptor_survives_the_crash_of_its_daemon() {
    let manager = Manager::new();
    let daemon = manager.start("daemon::helper_keeps", Passed::default());
    let (text, mut stored) = manager.hear_all();
    assert_eq!(text, "FDSTORE=1\nFDNAME=tun\nFDPOLL=0");
    assert_eq!(stored.len(), 1, "one descriptor came with it");
    assert_eq!(manager.hear(), "STATUS=first");
    assert_eq!(manager.hear(), "READY=1");
    daemon.crash();
    // Whoever opened it again would find another file.
    let device = manager.path("device");
    fs::rename(&device, manager.path("kept")).unwrap();

    let kept = stored.pop().unwrap();
    let copy = kept.try_clone().unwrap();
    let passed = Passed {
        fds: vec![("tun", kept)],
        ..Passed::default()
    };
    let daemon = manager.start("daemon::helper_keeps", passed);
    assert_eq!(manager.hear(), "STATUS=again");
    assert_eq!(manager.hear(), "READY=1");
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear(), "STOPPING=1");
    assert_eq!(manager.hear(), "FDSTOREREMOVE=1\nFDNAME=tun");
    daemon.ends_well();
    fs::File::from(copy).write_all(b"still open").unwrap();
    let written = fs::read_to_string(manager.path("kept")).unwrap();
    assert_eq!(written, "firstagainstill open");
    assert!(!device.exists(), "it was not made anew");
}
