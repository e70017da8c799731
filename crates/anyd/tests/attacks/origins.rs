//! Callers from elsewhere: processes that are gone, namespaces not ours.

use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyd::{Daemon, Decision, Socket};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
use serde_json::json;

use crate::arena::{Arena, MALLORY, Place, Raw, brisk, call, is_root, runtime, skip, until};
use crate::target::{TargetService, Victim};

const DENIED: &str = "org.varlink.service.PermissionDenied";

/// A helper of this file in a process of its own, under these programs.
fn helper(wrapper: &[&str], name: &str) -> Command {
    let mut words = wrapper.iter().copied();
    let own = std::env::current_exe().unwrap();
    let mut command = match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(own);
            command
        }
        None => Command::new(own),
    };
    command.args(["--exact", name, "--nocapture"]);
    command
}

/// Connects the socket that is its standard input, and ends.
#[test]
fn helper_connects_what_it_was_given() {
    let Some(path) = std::env::var_os("ANYD_TEST_CONNECT") else {
        return;
    };
    let address = SocketAddrUnix::new(&path).unwrap();
    connect(std::io::stdin(), &address).unwrap();
}

#[test]
fn a_caller_whose_process_is_gone_keeps_its_user_and_has_no_process() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let arena = Arena::with(brisk(), |daemon| {
        daemon.pidfds().narrow(move |caller, _| {
            let pidfd = caller.pidfd().map(|pidfd| pidfd.try_clone().unwrap());
            *kept.lock().unwrap() = pidfd;
            Decision::Allow
        })
    });
    let stream = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    let mallory = MALLORY.to_string();
    let setpriv = [
        "setpriv",
        "--reuid",
        &mallory,
        "--clear-groups",
        "--regid",
        &mallory,
    ];
    let status = helper(&setpriv, "origins::helper_connects_what_it_was_given")
        .env("ANYD_TEST_CONNECT", arena.path())
        .stdin(Stdio::from(stream.try_clone().unwrap()))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the helper could not connect");
    // It is gone, and its number free for anybody; root holds its connection.
    let mut raw = Raw::of(UnixStream::from(stream));
    let whoami = raw.ask(&call("Whoami", "{}"));
    assert_eq!(
        whoami["parameters"],
        json!({"uid": MALLORY, "foreign": false})
    );
    assert_eq!(raw.ask_error(&call("Guarded", "{}")).0, DENIED);
    if let Some(pidfd) = seen.lock().unwrap().take() {
        assert!(has_ended(&pidfd), "it is of no other process");
    }
}

fn has_ended(pidfd: &OwnedFd) -> bool {
    use std::os::fd::AsRawFd as _;
    let place = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = std::fs::read_to_string(place).unwrap();
    info.lines().any(|line| line == "Pid:\t-1")
}

/// A daemon in a user and a pid namespace of its own, on a socket that was
/// made outside.
#[test]
fn helper_daemon_in_a_namespace() {
    let Some(path) = std::env::var_os("ANYD_TEST_FOREIGN") else {
        return;
    };
    assert_eq!(std::process::id(), 1, "the first process of the namespace");
    let daemon = Daemon::new(anyd::product!())
        .serve(TargetService(Victim::default()))
        .listen(Socket::path(std::path::PathBuf::from(path)));
    runtime().block_on(daemon.run(anyd::signals())).unwrap();
}

#[test]
fn root_of_another_namespace_is_a_stranger() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let place = Place::new();
    let path = place.socket();
    let listener = UnixListener::bind(&path).unwrap();
    let unshare = ["unshare", "--user", "--map-root-user", "--pid", "--fork"];
    let shell = [
        "--kill-child",
        "sh",
        "-c",
        "exec 3<&0 </dev/null; exec \"$@\"",
        "sh",
    ];
    let wrapper: Vec<&str> = unshare.into_iter().chain(shell).collect();
    let mut daemon = helper(&wrapper, "origins::helper_daemon_in_a_namespace")
        .env("ANYD_TEST_FOREIGN", &path)
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDS", "1")
        .stdin(Stdio::from(listener.as_fd().try_clone_to_owned().unwrap()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    drop(listener);
    // Uid 0 here is uid 0 there, but the process is of no namespace of theirs.
    let mut root = Raw::connect(&path);
    let whoami = root.ask(&call("Whoami", "{}"));
    assert_eq!(whoami["parameters"], json!({"uid": 0, "foreign": true}));
    assert_eq!(root.ask_error(&call("Guarded", "{}")).0, DENIED);
    daemon.kill().unwrap();
    until("the daemon is gone", || {
        daemon.try_wait().unwrap().is_some()
    });
}
