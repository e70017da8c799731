//! Too many connections, and those that take too much.

use std::sync::atomic::Ordering;

use anyd::{CallError, Limits};

use crate::arena::{Arena, Raw, brisk, call, is_root, skip, until};

#[test]
fn a_user_cannot_take_the_connections_of_others() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(Limits {
        conns_per_uid: 5,
        ..brisk()
    });
    let mut mine: Vec<Raw> = (0..5).map(|_| arena.attacker()).collect();
    for raw in &mut mine {
        raw.ask(&call("Whoami", "{}"));
    }
    let mut refused = arena.attacker();
    assert_eq!(
        refused.receive().unwrap()["error"],
        "anyd.TooManyConnections"
    );
    assert_eq!(refused.receive(), None);
    arena.assert_alive();
    drop(mine);
    until("the places are free again", || {
        let mut raw = arena.attacker();
        raw.ask(&call("Whoami", "{}"))["error"].is_null()
    });
}

#[test]
fn root_always_has_a_place() {
    if !is_root() && skip("needs root and another user") {
        return;
    }
    let arena = Arena::new(Limits {
        conns: 20,
        conns_per_uid: 1000,
        root_reserve: 2,
        ..brisk()
    });
    let crowd: Vec<Raw> = (0..60).map(|_| arena.attacker()).collect();
    arena.assert_alive();
    drop(crowd);
    arena.assert_alive();
}

#[test]
fn who_is_refused_a_connection_is_told() {
    let arena = Arena::new(Limits {
        conns: 2,
        conns_per_uid: 2,
        root_reserve: 0,
        ..brisk()
    });
    let mut clients = Vec::new();
    until("the arena's own probe has gone", || {
        let mut client = arena.honest();
        let served = client.whoami().is_ok();
        clients.push(client);
        clients.len() > 2 || !served
    });
    let refused = arena.honest().whoami();
    assert!(matches!(refused, Err(CallError::Busy)), "{refused:?}");
}

#[test]
fn a_thousand_idle_connections_disturb_nobody() {
    let arena = Arena::new(Limits {
        conns: 1200,
        conns_per_uid: 1100,
        ..brisk()
    });
    let mut crowd: Vec<Raw> = (0..1000).map(|_| arena.attacker()).collect();
    arena.assert_alive();
    for raw in &mut crowd {
        assert!(raw.ask(&call("Whoami", "{}"))["error"].is_null());
    }
}

#[test]
fn one_slow_call_keeps_nobody_waiting() {
    let arena = Arena::new(brisk());
    let mut slow = arena.attacker();
    slow.send(&call("Slow", "{}"));
    until("the slow call runs", || {
        arena.state.started.load(Ordering::SeqCst) == 1
    });
    arena.assert_alive();
    arena.state.gate.notify_one();
    assert_eq!(slow.receive().unwrap()["parameters"], serde_json::json!({}));
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_disturbs_nobody() {
    let arena = Arena::new(Limits {
        write: std::time::Duration::from_millis(300),
        ..brisk()
    });
    let mut deaf = arena.attacker();
    deaf.send(r#"{"method":"org.example.Target.Flood","more":true}"#);
    until("the stream runs", || {
        arena.state.streams.load(Ordering::SeqCst) == 1
    });
    arena.assert_alive();
    until("the stream is dropped", || {
        arena.state.streams.load(Ordering::SeqCst) == 0
    });
    arena.assert_alive();
}

#[test]
fn a_stream_ends_with_its_client() {
    let arena = Arena::new(brisk());
    for bytes in ["", "{", "{\"method\":\"org.example.Target.Whoami\"}\0"] {
        let mut watcher = arena.attacker();
        watcher.send(r#"{"method":"org.example.Target.Watch","more":true}"#);
        watcher.send_bytes(bytes.as_bytes());
        until("the stream runs", || {
            arena.state.streams.load(Ordering::SeqCst) == 1
        });
        drop(watcher);
        until("the stream is dropped", || {
            arena.state.streams.load(Ordering::SeqCst) == 0
        });
    }
}

#[test]
fn a_client_that_closes_its_sending_half_is_still_answered() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    raw.send(&call("Slow", "{}"));
    raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
    until("the slow call runs", || {
        arena.state.started.load(Ordering::SeqCst) == 1
    });
    arena.state.gate.notify_one();
    assert!(raw.receive().is_some());
    assert_eq!(arena.state.cancelled.load(Ordering::SeqCst), 0);
}

#[test]
fn a_call_is_carried_out_without_its_client_which_it_can_ask_about() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    raw.send(&call("Slow", "{}"));
    until("the call runs", || {
        arena.state.started.load(Ordering::SeqCst) == 1
    });
    drop(raw);
    until("the handler knows", || {
        arena.state.cancelled.load(Ordering::SeqCst) == 1
    });
    arena.state.gate.notify_one();
    until("the call is carried out", || {
        arena.state.finished.load(Ordering::SeqCst) == 1
    });
}

#[test]
fn a_stream_must_be_asked_for() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let (name, _) = raw.ask_error(&call("Watch", "{}"));
    assert_eq!(name, "org.varlink.service.ExpectedMore");
}

#[test]
fn an_exclusive_method_runs_once_at_a_time() {
    let arena = Arena::new(brisk());
    let path = arena.path();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || {
                let mut raw = Raw::connect(&path);
                for _ in 0..50 {
                    raw.ask(&call("Alone", "{}"));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(arena.state.most_together.load(Ordering::SeqCst), 1);
}
