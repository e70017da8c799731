//! A daemon without descriptors left.

use std::io::Read as _;
use std::process::{Command, Stdio};

use anyd::{Daemon, Limits, Socket, Trust};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::arena::{MALLORY, PATIENCE, Place, Raw, as_user, brisk, call, until};
use crate::target::{TargetBlocking, TargetService, Victim};

/// The daemon of the next test, a process of its own.
#[test]
fn helper_daemon_with_few_descriptors() {
    let Some(path) = std::env::var_os("ANYD_TEST_DAEMON") else {
        return;
    };
    let few = Some(100);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: few,
            maximum: few,
        },
    )
    .unwrap();
    let hoard: Vec<_> = (0..70)
        .map(|_| std::fs::File::open("/dev/null").unwrap())
        .collect();
    let daemon = Daemon::new(anyd::product!())
        .serve(TargetService(Victim::default()))
        .listen(Socket::path(std::path::PathBuf::from(path)).mode(0o666))
        .limits(Limits {
            conns: 10_000,
            conns_per_uid: 10_000,
            ..brisk()
        });
    // Ends with the test's own process, which holds the other end.
    let ended = async {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _end = std::io::stdin().read(&mut [0]);
            sender.send(())
        });
        let _or_gone = receiver.await;
    };
    crate::arena::runtime().block_on(daemon.run(ended)).unwrap();
    drop(hoard);
}

#[test]
fn without_descriptors_the_daemon_lives_serves_and_recovers() {
    let place = Place::new();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exhaustion::helper_daemon_with_few_descriptors"])
        .env("ANYD_TEST_DAEMON", place.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let connect = || {
        let client = anyd::blocking::Client::open_trusting(place.socket(), Trust::RootOrSelf);
        client.map(|client| TargetBlocking::from(client.timeout(PATIENCE)))
    };
    until("the daemon listens", || connect().is_ok());
    let mut old = connect().unwrap();
    old.whoami().unwrap();
    let path = place.socket();
    let crowd = as_user(MALLORY, move || {
        // More than the daemon can accept; the rest waits in the kernel's queue.
        (0..60).map(|_| Raw::connect(&path)).collect::<Vec<_>>()
    });
    for _ in 0..100 {
        old.echo("still served".parse().unwrap()).unwrap();
    }
    assert!(daemon.try_wait().unwrap().is_none(), "the daemon has ended");
    drop(crowd);
    connect()
        .unwrap()
        .echo("recovered".parse().unwrap())
        .unwrap();
    let mut raw = Raw::connect(&place.socket());
    assert!(raw.ask(&call("Whoami", "{}"))["error"].is_null());
    drop(daemon.stdin.take());
    assert!(daemon.wait().unwrap().success());
}
