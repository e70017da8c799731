//! The daemon's end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::arena::{Arena, brisk, call, until};

#[test]
fn calls_in_flight_are_answered_and_the_rest_closed() {
    let mut arena = Arena::new(brisk());
    let mut idle = arena.attacker();
    idle.ask(&call("Whoami", "{}"));
    let mut slow = arena.attacker();
    slow.send(&call("Slow", "{}"));
    let mut watcher = arena.attacker();
    watcher.send(r#"{"method":"org.example.Target.Watch","more":true}"#);
    let mut half = arena.attacker();
    half.send_bytes(b"{\"method\":");
    until("both calls run", || {
        arena.state.started.load(Ordering::SeqCst) == 1
            && arena.state.streams.load(Ordering::SeqCst) == 1
    });
    arena.ask_to_stop();
    assert_eq!(idle.receive(), None);
    assert_eq!(half.receive(), None);
    assert_eq!(watcher.receive().unwrap()["error"], "anyd.ShuttingDown");
    assert_eq!(watcher.receive(), None);
    assert!(!arena.path().exists(), "nobody new can come");
    arena.state.gate.notify_one();
    assert_eq!(slow.receive().unwrap()["parameters"], serde_json::json!({}));
    assert_eq!(slow.receive(), None);
    arena.wait_for_end();
    assert_eq!(arena.state.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn a_call_that_does_not_end_is_ended_after_the_grace() {
    let mut arena = Arena::with(brisk(), |daemon| daemon.grace(Duration::from_millis(100)));
    let mut slow = arena.attacker();
    slow.send(&call("Slow", "{}"));
    until("the call runs", || {
        arena.state.started.load(Ordering::SeqCst) == 1
    });
    arena.ask_to_stop();
    assert_eq!(slow.receive(), None);
    arena.wait_for_end();
    assert_eq!(arena.state.finished.load(Ordering::SeqCst), 0);
}

#[test]
fn those_who_wait_for_their_turn_are_closed_and_not_begun() {
    let mut arena = Arena::new(brisk());
    let mut first = arena.attacker();
    first.send(&call("Held", "{}"));
    until("the first holds the turn", || {
        arena.state.started.load(Ordering::SeqCst) == 1
    });
    let mut waiting: Vec<_> = (0..5).map(|_| arena.attacker()).collect();
    for raw in &mut waiting {
        raw.send(&call("Alone", "{}"));
    }
    arena.assert_alive();
    arena.ask_to_stop();
    for raw in &mut waiting {
        assert_eq!(raw.receive(), None);
    }
    arena.state.gate.notify_one();
    assert_eq!(
        first.receive().unwrap()["parameters"],
        serde_json::json!({})
    );
    arena.wait_for_end();
    assert_eq!(arena.state.most_together.load(Ordering::SeqCst), 0);
}

#[test]
fn clients_that_do_not_read_do_not_keep_the_daemon() {
    let mut arena = Arena::with(brisk(), |daemon| daemon.grace(Duration::from_millis(200)));
    let mut deaf: Vec<_> = (0..5).map(|_| arena.attacker()).collect();
    for raw in &mut deaf {
        raw.send(r#"{"method":"org.example.Target.Flood","more":true}"#);
    }
    until("the streams run", || {
        arena.state.streams.load(Ordering::SeqCst) == 5
    });
    arena.ask_to_stop();
    arena.wait_for_end();
    assert_eq!(arena.state.streams.load(Ordering::SeqCst), 0);
}
