//! A bus that does what it should not.

use std::thread::{self, JoinHandle};

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
