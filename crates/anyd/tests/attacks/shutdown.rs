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
