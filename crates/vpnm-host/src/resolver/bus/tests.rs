//! A bus that does what it should not.

use std::thread::{self, JoinHandle};

use super::message::tests::{owner_changed, reply};
use super::*;

/// Opens a bus that does this after it has heard the first bytes.
fn open(
    serve: impl FnOnce(UnixStream) + Send + 'static,
) -> (Result<Bus, BusError>, JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        theirs.read_exact(&mut [0; 4]).unwrap();
        serve(theirs);
    });
    (Bus::over(ours), server)
}

fn kind(result: Result<Bus, BusError>) -> Option<io::ErrorKind> {
    match result {
        Err(BusError::Io(error)) => Some(error.kind()),
        _ => None,
    }
}

#[test]
fn a_bus_that_is_silent_is_given_up() {
    let (opened, server) = open(|mut stream| {
        // Until we are gone: never an answer.
        while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    });
    let kind = kind(opened);
    let waited = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    assert!(kind.is_some_and(|kind| waited.contains(&kind)), "{kind:?}");
    server.join().unwrap();
}

#[test]
fn a_bus_that_trickles_is_given_up_too() {
    let (opened, server) = open(|mut stream| {
        // Never the end of the line: each byte comes in time, all of them do not.
        while stream.write_all(b"O").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(opened.is_err());
    server.join().unwrap();
}

#[test]
fn a_bus_that_refuses_is_not_believed() {
    let (opened, server) = open(|mut stream| stream.write_all(b"REJECTED EXTERNAL\r\n").unwrap());
    assert!(matches!(opened, Err(BusError::Malformed)), "{opened:?}");
    server.join().unwrap();
}

#[test]
fn a_bus_that_hangs_up_is_seen() {
    let (opened, server) = open(drop);
    let kind = kind(opened);
    let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
    assert!(kind.is_some_and(|kind| gone.contains(&kind)), "{kind:?}");
    server.join().unwrap();
}

#[test]
fn what_is_no_message_is_not_understood() {
    let (opened, server) = open(|mut stream| {
        stream.write_all(b"OK 1234\r\n").unwrap();
        stream.write_all(&[0xff; 64]).unwrap();
        while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    });
    assert!(matches!(opened, Err(BusError::Malformed)), "{opened:?}");
    server.join().unwrap();
}

const RESOLVED: &str = "org.freedesktop.resolve1";

/// A connection to a bus that says these after it was asked to watch.
fn watched(said: Vec<Vec<u8>>) -> (Bus, JoinHandle<()>) {
    let (opened, server) = open(move |mut stream| {
        stream.write_all(b"OK 1234\r\n").unwrap();
        // Before it, somebody else answers in its name.
        for serial in 1..=2 {
            stream.write_all(&reply(":1.7", serial)).unwrap();
            stream.write_all(&reply(BUS.name, serial)).unwrap();
        }
        for message in said.into_iter().chain([reply(BUS.name, 3)]) {
            stream.write_all(&message).unwrap();
        }
        while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    });
    let mut bus = opened.unwrap();
    bus.watch(RESOLVED).unwrap();
    // Its answer comes after them.
    bus.call(BUS, "GetId", &Arguments::default()).unwrap();
    (bus, server)
}

#[test]
fn only_the_bus_says_who_came_or_went() {
    let forged = vec![
        owner_changed(":1.7", BUS.interface, RESOLVED),
        owner_changed(BUS.name, "com.example.Other", RESOLVED),
        owner_changed(BUS.name, BUS.interface, "com.example.Other"),
    ];
    let (mut bus, server) = watched(forged);
    assert!(!bus.take_signals().unwrap(), "forged");
    drop(bus);
    server.join().unwrap();
    let (mut bus, server) = watched(vec![owner_changed(BUS.name, BUS.interface, RESOLVED)]);
    assert!(bus.take_signals().unwrap(), "genuine");
    assert!(!bus.take_signals().unwrap(), "once");
    drop(bus);
    server.join().unwrap();
}

#[test]
fn an_answer_in_the_name_of_the_bus_is_not_taken() {
    let (opened, server) = open(|mut stream| {
        stream.write_all(b"OK 1234\r\n").unwrap();
        stream.write_all(&reply(":1.7", 1)).unwrap();
        while stream.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
    });
    assert!(opened.is_err(), "{opened:?}");
    server.join().unwrap();
}

#[test]
fn a_bus_that_accepts_nobody_is_given_up() {
    let directory = std::env::temp_dir().join(format!("vpnm-bus-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let soon = || Instant::now() + Duration::from_millis(100);
    // Until its queue is full, there is room; then the time is up.
    let mut waiting = Vec::new();
    let refused = loop {
        match connect(&path, soon()) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    drop(listener);
    std::fs::remove_dir_all(directory).unwrap();
    let missing = connect(&path, soon()).map_err(BusError::from).unwrap_err();
    assert!(missing.is_without_bus());
}
