//! Callers that are not who they would like to be.

use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use anyd::{CallError, Decision};
use serde_json::json;

use crate::arena::{Arena, MALLORY, Raw, as_user, brisk, call, is_root, skip};

const DENIED: &str = "org.varlink.service.PermissionDenied";

#[test]
fn the_right_of_a_caller_is_that_of_who_connected() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    // A socket of the attacker's, into which root writes, as a confused
    // set-uid program would.
    let mut theirs = arena.attacker();
    assert_eq!(
        theirs.ask(&call("Whoami", "{}"))["parameters"]["uid"],
        MALLORY
    );
    assert_eq!(theirs.ask_error(&call("Guarded", "{}")).0, DENIED);
    // And the other way round: identity is of the time of connecting.
    let path = arena.path();
    let ours = Raw::connect(&path);
    let answer = as_user(MALLORY, move || {
        let mut ours = ours;
        ours.ask(&call("Whoami", "{}"))
    });
    assert_eq!(answer["parameters"], json!({"uid": 0, "foreign": false}));
}

#[test]
fn nobody_is_a_stranger_everywhere() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    let path = arena.path();
    let answer = as_user(65534, move || {
        Raw::connect(&path).ask(&call("Whoami", "{}"))
    });
    assert_eq!(answer["parameters"], json!({"uid": 65534, "foreign": true}));
}

/// The other half of the next test, run in a user namespace.
#[test]
fn helper_calls_as_root_of_a_namespace() {
    let Some(path) = std::env::var_os("ANYD_TEST_SOCKET") else {
        return;
    };
    assert!(is_root(), "the namespace's root");
    let mut raw = Raw::connect(path.as_ref());
    println!("WHOAMI {}", raw.ask(&call("Whoami", "{}")));
    println!("GUARDED {}", raw.ask(&call("Guarded", "{}")));
}

#[test]
fn root_of_a_user_namespace_is_the_user_who_made_it() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    let mallory = MALLORY.to_string();
    let output = Command::new("setpriv")
        .args(["--reuid", &mallory, "--regid", &mallory, "--clear-groups"])
        .args(["unshare", "--user", "--map-root-user"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "identity::helper_calls_as_root_of_a_namespace"])
        .arg("--nocapture")
        .env("ANYD_TEST_SOCKET", arena.path())
        .output();
    let Ok(output) = output else {
        skip("setpriv is not here");
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() && !text.contains("WHOAMI") {
        let why = String::from_utf8_lossy(&output.stderr);
        skip(&format!("no user namespace for uid {MALLORY}: {why}"));
        return;
    }
    assert!(text.contains(&format!(r#""uid":{MALLORY}"#)), "{text}");
    assert!(text.contains(DENIED), "{text}");
}

#[test]
fn a_site_can_only_take_rights_away() {
    let arena = Arena::with(brisk(), |daemon| {
        daemon.narrow(|caller, method| {
            assert!(caller.uid() != u32::MAX);
            match method.name {
                "Echo" => Decision::Deny("not on this machine".to_owned()),
                _ => Decision::Allow,
            }
        })
    });
    let refused = arena.honest().echo("x".parse().unwrap());
    let text = refused.unwrap_err().to_string();
    assert_eq!(
        text,
        "the daemon refused org.example.Target.Echo: not on this machine"
    );
    arena.honest().whoami().unwrap();
    if is_root() {
        assert_eq!(arena.attacker().ask_error(&call("Guarded", "{}")).0, DENIED);
    }
}

#[test]
fn every_refusal_and_every_audited_call_leaves_a_line_without_secrets() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    raw.ask(&call("Unlock", r#"{"name":"me\n","password":"right"}"#));
    raw.ask(&call("Unlock", r#"{"name":"me","password":"hunter2"}"#));
    raw.ask(&call("Unlock", r#"{"name":"me","password":["hunter2"]}"#));
    raw.ask(&call("Whoami", "{}"));
    let uid = if is_root() {
        raw.ask(&call("Guarded", "{}"));
        MALLORY
    } else {
        rustix::process::getuid().as_raw()
    };
    let records = arena.records.lock().unwrap();
    let lines: Vec<&str> = records
        .iter()
        .filter_map(|line| line.split_once(" method=").map(|(_, rest)| rest))
        .collect();
    assert!(
        records
            .iter()
            .all(|line| line.contains(&format!(" uid={uid} ")))
    );
    let shown: Vec<String> = lines.iter().map(|line| without_time(line)).collect();
    let mut expected = vec![
        r#"org.example.Target.Unlock replied name="me\n" password=(secret)"#,
        r#"org.example.Target.Unlock fault=org.example.Target.Wrong name="me" password=(secret)"#,
        r#"org.example.Target.Unlock invalid="password" name="me" password=(secret)"#,
    ];
    if is_root() {
        expected.push(r#"org.example.Target.Guarded denied="only root may call it""#);
    }
    assert_eq!(shown, expected);
}

fn without_time(line: &str) -> String {
    let words = line.split(' ').filter(|word| !word.starts_with("ms="));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_client_does_not_speak_to_a_squatter() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let place = crate::arena::Place::new();
    std::os::unix::fs::chown(&place.0, Some(MALLORY), None).unwrap();
    let path = place.socket();
    let there = path.clone();
    let listener = as_user(MALLORY, move || {
        std::os::unix::net::UnixListener::bind(there).unwrap()
    });
    let refused = anyd::blocking::Client::open(&path).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(refused.to_string().contains("uid 1000"), "{refused}");
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut heard).unwrap();
    assert!(heard.is_empty(), "not a word was said");
    let refused = crate::arena::runtime()
        .block_on(anyd::Client::open(&path))
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
}

#[test]
fn a_refused_call_is_a_typed_error() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(brisk());
    let path = arena.path();
    let refused = as_user(MALLORY, move || {
        let client = anyd::blocking::Client::open(path).unwrap();
        crate::target::TargetBlocking::from(client).guarded()
    });
    let Err(CallError::Denied { method, reason }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(method, "org.example.Target.Guarded");
    assert_eq!(reason, "only root may call it");
}

#[test]
fn the_process_of_a_caller_is_known_when_asked_for() {
    let seen = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&seen);
    let arena = Arena::with(brisk(), |daemon| {
        daemon.pidfds().narrow(move |caller, _| {
            *kept.lock().unwrap() = caller.pidfd().map(|pidfd| pidfd.try_clone().unwrap());
            Decision::Allow
        })
    });
    arena.honest().whoami().unwrap();
    let pidfd = seen.lock().unwrap().take();
    let Some(pidfd) = pidfd else {
        skip("the kernel is older than 6.5");
        return;
    };
    let place = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = std::fs::read_to_string(place).unwrap();
    let own = format!("Pid:\t{}", std::process::id());
    assert!(info.lines().any(|line| line == own), "{info}");
}
