//! Servers that are not what they should be, and our clients.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use anyd::CallError;

use crate::arena::runtime;
use crate::target::{Said, TargetBlocking, TargetClient, TargetError};

type Called<T> = Result<T, CallError<TargetError>>;

/// Answers the first call with these bytes, then reads whatever comes.
fn server(answer: Vec<u8>) -> (UnixStream, JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let mut byte = [1];
        while byte != [0] && theirs.read(&mut byte).is_ok_and(|count| count > 0) {}
        // A client that has had enough has closed.
        let _closed = theirs.write_all(&answer);
        let _end = theirs.shutdown(std::net::Shutdown::Write);
        let _rest = theirs.read_to_end(&mut Vec::new());
    });
    (ours, thread)
}

/// What the blocking client makes of an answer, and what it does next.
fn blocking(answer: &[u8]) -> [Called<Said>; 2] {
    let (stream, thread) = server(answer.to_vec());
    let client = anyd::blocking::Client::from_stream(stream).timeout(Duration::from_secs(60));
    let mut client = TargetBlocking::from(client);
    let called = ["x", "y"].map(|word| client.echo(word.parse().unwrap()));
    drop(client);
    thread.join().unwrap();
    called
}

/// As [`blocking`], of the asynchronous client.
fn asynchronous(answer: &[u8]) -> [Called<Said>; 2] {
    let (stream, thread) = server(answer.to_vec());
    let called = runtime().block_on(async {
        let client = anyd::Client::from_stream(stream).unwrap();
        let mut client = TargetClient::from(client.timeout(Duration::from_secs(60)));
        let first = client.echo("x".parse().unwrap()).await;
        [first, client.echo("y".parse().unwrap()).await]
    });
    thread.join().unwrap();
    called
}

fn both(answer: &[u8]) -> [[Called<Said>; 2]; 2] {
    [blocking(answer), asynchronous(answer)]
}

#[test]
fn an_answer_that_is_none_is_an_error() {
    let deep = format!("{{\"parameters\":{}}}\0", "[".repeat(100_000));
    let answers: [&[u8]; 15] = [
        b"",
        b"\0",
        b"{",
        b"{}",
        b"[]\0",
        b"hello\0",
        b"\xff\xfe\0",
        b"{\"parameters\":{}}\0",
        b"{\"parameters\":{\"arg\":7}}\0",
        b"{\"parameters\":[1]}\0",
        b"{\"parameters\":null}\0",
        b"{\"error\":7}\0",
        b"{\"error\":\"org.example.Target.Unheard\",\"parameters\":{\"a\":1}}\0",
        b"{\"error\":\"org.example.Target.Wrong\",\"parameters\":[[[]]]}\0",
        deep.as_bytes(),
    ];
    for answer in answers {
        let shown = answer.get(..60).unwrap_or(answer).escape_ascii();
        for [first, second] in both(answer) {
            let error = first.expect_err(&shown.to_string());
            assert!(!error.to_string().is_empty());
            second.expect_err("nothing more was said");
        }
    }
}

#[test]
fn a_single_answer_that_promises_more_ends_the_conversation() {
    let answer = b"{\"parameters\":{\"arg\":\"x\"},\"continues\":true}\0\
                   {\"parameters\":{\"arg\":\"of the first call\"}}\0";
    for [_, second] in both(answer) {
        second.expect_err("what came for the first call is no answer to the second");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_answers_nothing() {
    let answer = b"{\"parameters\":{\"arg\":\"x\"}}\0{\"parameters\":{\"arg\":\"stale\"}}\0";
    for [first, second] in both(answer) {
        assert_eq!(first.unwrap().arg, "x");
        second.expect_err("it was there before the call");
    }
}

#[test]
fn an_answer_without_end_is_not_kept() {
    let (stream, mut theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        let piece = vec![b' '; 1 << 20];
        let mut sent = 0_usize;
        while sent < 200 && theirs.write_all(&piece).is_ok() {
            sent += 1;
        }
        sent
    });
    let mut client = TargetBlocking::from(anyd::blocking::Client::from_stream(stream));
    let error = client.echo("x".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("64 MiB"), "{error}");
    drop(client);
    assert!(server.join().unwrap() < 80, "MiB were taken");
}

#[test]
fn a_server_that_says_nothing_or_a_drop_at_a_time_is_given_up() {
    let (stream, mut theirs) = UnixStream::pair().unwrap();
    let server = std::thread::spawn(move || {
        while theirs.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let limit = Duration::from_millis(100);
    let client = anyd::blocking::Client::from_stream(stream.try_clone().unwrap());
    let mut client = TargetBlocking::from(client.timeout(limit));
    let slow = client.echo("x".parse().unwrap());
    assert!(matches!(slow, Err(CallError::NoAnswer { .. })), "{slow:?}");
    let slow = runtime().block_on(async {
        let client = anyd::Client::from_stream(stream).unwrap().timeout(limit);
        TargetClient::from(client).echo("x".parse().unwrap()).await
    });
    assert!(matches!(slow, Err(CallError::NoAnswer { .. })), "{slow:?}");
    drop(client);
    server.join().unwrap();
}
