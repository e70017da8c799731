//! What a daemon tells its manager while it runs.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use crate::manager::{Manager, Passed};

fn micros() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

fn watched() -> Passed {
    Passed {
        watchdog: Some(Duration::from_millis(100)),
        ..Passed::default()
    }
}

#[test]
fn a_reload_is_told_with_its_time() {
    let manager = Manager::new();
    let daemon = manager.start("daemon::helper_reloads", Passed::default());
    assert_eq!(manager.hear(), "READY=1");
    for _ in 0..3 {
        let before = micros();
        daemon.signal(Signal::HUP);
        let text = manager.hear();
        let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        // systemd takes no word for it that is older than its own signal.
        assert!(
            (before..=micros()).contains(&time.parse().unwrap()),
            "{text}"
        );
        assert_eq!(manager.hear(), "STATUS=reading");
        assert_eq!(manager.hear(), "READY=1");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear(), "STOPPING=1");
    daemon.ends_well();
}

#[test]
fn the_watchdog_is_fed_from_start_to_end() {
    let manager = Manager::new();
    let daemon = manager.start("daemon::helper_serves", watched());
    assert_eq!(manager.hear(), "READY=1");
    for _ in 0..5 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear_news(), "STOPPING=1");
    daemon.ends_well();
}

#[test]
fn a_crowd_does_not_keep_the_watchdog_hungry() {
    let manager = Manager::new();
    let daemon = manager.start("daemon::helper_serves", watched());
    assert_eq!(manager.hear(), "READY=1");
    let stop = Arc::<AtomicBool>::default();
    let crowd = [(); 3].map(|()| {
        let (path, told) = (manager.path("api"), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !told.load(Ordering::SeqCst) {
                drop(UnixStream::connect(&path).unwrap());
            }
        })
    });
    for _ in 0..10 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
    stop.store(true, Ordering::SeqCst);
    for one in crowd {
        one.join().unwrap();
    }
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear_news(), "STOPPING=1");
    daemon.ends_well();
}

#[test]
fn a_daemon_without_descriptors_feeds_the_watchdog() {
    let manager = Manager::new();
    let daemon = manager.start("daemon::helper_is_poor", watched());
    assert_eq!(manager.hear(), "READY=1");
    let connect = || UnixStream::connect(manager.path("api"));
    let crowd: Vec<_> = (0..60).map(|_| connect().unwrap()).collect();
    for _ in 0..10 {
        assert_eq!(manager.hear(), "WATCHDOG=1");
    }
    daemon.signal(Signal::TERM);
    assert_eq!(manager.hear_news(), "STOPPING=1");
    daemon.ends_well();
    drop(crowd);
}
