//! Clients that send and do not listen.

use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyd::Limits;

use crate::arena::{Arena, PATIENCE, Raw, brisk, call, until};

/// More than this nobody can make the daemon and the kernel hold together.
const HELD: usize = 4 << 20;

/// Sends the same bytes until they are no longer taken, or the daemon closes:
/// how many bytes were taken, and whether it closed.
fn stuff(raw: &mut Raw, bytes: &[u8], most: usize) -> (usize, bool) {
    raw.stream.set_nonblocking(true).unwrap();
    let started = Instant::now();
    let mut taken = 0;
    while taken < most && started.elapsed() < PATIENCE {
        match raw.stream.write(bytes) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(_) => return (taken, true),
        }
    }
    (taken, false)
}

fn impatient() -> Limits {
    Limits {
        write: Duration::from_millis(300),
        ..brisk()
    }
}

#[test]
fn a_hundred_thousand_calls_without_reading_are_not_hoarded() {
    let arena = Arena::new(impatient());
    let mut deaf = arena.attacker();
    let text = call("Echo", &format!(r#"{{"arg":"{}"}}"#, "x".repeat(2000))) + "\0";
    let (taken, closed) = stuff(&mut deaf, text.as_bytes(), 100_000 * text.len());
    assert!(closed, "{taken} bytes were taken, and more would be");
    assert!(taken < HELD, "{taken} bytes were taken");
    arena.assert_alive();
}

#[test]
fn a_hundred_thousand_calls_are_answered_in_order_to_who_reads() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    let mut sender = raw.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        for n in 0..100_000 {
            let text = call("Echo", &format!(r#"{{"arg":"{n}"}}"#)) + "\0";
            sender.write_all(text.as_bytes()).unwrap();
        }
    });
    for n in 0..100_000 {
        assert_eq!(raw.receive().unwrap()["parameters"]["arg"], n.to_string());
    }
    sending.join().unwrap();
}

#[test]
fn calls_behind_a_stream_wait_in_the_kernel() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    raw.send(r#"{"method":"org.example.Target.Watch","more":true}"#);
    until("the stream runs", || {
        arena.state.streams.load(Ordering::SeqCst) == 1
    });
    let text = call("Whoami", "{}") + "\0";
    raw.stream.set_nonblocking(true).unwrap();
    let mut taken = 0;
    while let Ok(count) = raw.stream.write(text.as_bytes()) {
        taken += count;
        assert!(
            taken < HELD,
            "calls are read that cannot be carried out yet"
        );
    }
    arena.assert_alive();
    drop(raw);
    until("the stream is dropped", || {
        arena.state.streams.load(Ordering::SeqCst) == 0
    });
}

#[test]
fn streams_on_every_connection_of_a_user_are_all_dropped_unread() {
    let arena = Arena::new(impatient());
    let mut crowd: Vec<Raw> = (0..30).map(|_| arena.attacker()).collect();
    for raw in &mut crowd {
        raw.send(r#"{"method":"org.example.Target.Flood","more":true}"#);
    }
    until("a stream runs", || {
        arena.state.streams.load(Ordering::SeqCst) > 0
    });
    for _ in 0..100 {
        arena.assert_alive();
    }
    until("all are dropped", || {
        arena.state.streams.load(Ordering::SeqCst) == 0
    });
    drop(crowd);
}

#[test]
fn who_takes_a_stream_in_drops_is_dropped() {
    let arena = Arena::new(impatient());
    let mut raw = arena.attacker();
    raw.send(r#"{"method":"org.example.Target.Flood","more":true}"#);
    until("the stream runs", || {
        arena.state.streams.load(Ordering::SeqCst) == 1
    });
    until("the stream is dropped", || {
        let mut drop_of_it = [0; 64];
        let _taken = std::io::Read::read(&mut raw.stream, &mut drop_of_it);
        std::thread::sleep(Duration::from_millis(5));
        arena.state.streams.load(Ordering::SeqCst) == 0
    });
    arena.assert_alive();
}

#[test]
fn an_upgrade_is_refused_and_what_follows_is_read_as_calls() {
    let arena = Arena::new(brisk());
    let mut raw = arena.attacker();
    for method in ["Echo", "Guarded", "Watch"] {
        let text = format!(r#"{{"method":"org.example.Target.{method}","upgrade":true}}"#);
        let (name, _) = raw.ask_error(&text);
        assert_eq!(name, "org.varlink.service.MethodNotImplemented");
    }
    assert!(raw.ask(&call("Whoami", "{}"))["error"].is_null());
    raw.send_bytes(b"\x16\x03\x01another protocol");
    assert_eq!(raw.receive(), None);
    arena.assert_alive();
}
