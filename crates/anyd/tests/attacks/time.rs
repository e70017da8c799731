//! Clients that take their time, and those that take none.

use std::time::{Duration, Instant};

use anyd::{Limits, Rate};

use crate::arena::{Arena, MALLORY, as_user, brisk, call, is_root, skip};

#[test]
fn a_client_that_says_nothing_is_closed() {
    let arena = Arena::new(Limits {
        first: Duration::from_millis(100),
        ..brisk()
    });
    assert_eq!(arena.attacker().receive(), None);
}

#[test]
fn a_client_that_falls_silent_is_closed() {
    let arena = Arena::new(Limits {
        idle: Duration::from_millis(100),
        ..brisk()
    });
    let mut raw = arena.attacker();
    raw.ask(&call("Whoami", "{}"));
    assert_eq!(raw.receive(), None);
}

#[test]
fn half_a_message_is_not_waited_for() {
    let arena = Arena::new(Limits {
        message_within: Duration::from_millis(200),
        ..brisk()
    });
    let mut raw = arena.attacker();
    raw.send_bytes(b"{\"method\":\"org.exam");
    assert_eq!(raw.receive(), None);
    arena.assert_alive();
}

#[test]
fn a_message_in_drops_has_no_more_time_than_another() {
    let arena = Arena::new(Limits {
        message_within: Duration::from_millis(300),
        ..brisk()
    });
    let mut raw = arena.attacker();
    raw.stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let started = Instant::now();
    let mut closed = false;
    while !closed && started.elapsed() < crate::arena::PATIENCE {
        let sent = std::io::Write::write(&mut raw.stream, b"{");
        let mut byte = [0];
        closed = sent.is_err() || matches!(std::io::Read::read(&mut raw.stream, &mut byte), Ok(0));
    }
    assert!(closed, "a drop at a time keeps a connection for ever");
    arena.assert_alive();
}

#[test]
fn who_is_too_fast_is_paced_and_not_answered_with_errors() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(Limits {
        rate: Rate::per_sec(100).burst(50),
        ..Limits::default()
    });
    let path = arena.path();
    let took = as_user(MALLORY, move || {
        let mut raw = crate::arena::Raw::connect(&path);
        let started = Instant::now();
        for _ in 0..100 {
            let answer = raw.ask(&call("Whoami", "{}"));
            assert!(answer["error"].is_null(), "{answer}");
        }
        started.elapsed()
    });
    // 50 at once, the other 50 at 100 a second.
    assert!(took >= Duration::from_millis(480), "{took:?}");
}

#[test]
fn several_connections_are_paced_as_one_user() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(Limits {
        rate: Rate::per_sec(100).burst(10),
        ..Limits::default()
    });
    let started = Instant::now();
    for _ in 0..50 {
        arena.attacker().ask(&call("Whoami", "{}"));
    }
    assert!(started.elapsed() >= Duration::from_millis(380));
}

#[test]
fn a_method_can_have_a_rate_of_its_own() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let started = Instant::now();
    for _ in 0..3 {
        raw.ask(&call("Seldom", "{}"));
    }
    assert!(started.elapsed() >= Duration::from_millis(390));
}
