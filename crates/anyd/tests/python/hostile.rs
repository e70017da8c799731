//! Bytes that no client sends.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::daemon::Served;

fn connect(served: &Served) -> UnixStream {
    let stream = UnixStream::connect(served.open()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_be_bytes(), payload].concat()
}

fn answer(stream: &mut UnixStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut payload).unwrap();
    payload
}

fn closed(stream: &mut UnixStream) -> bool {
    matches!(stream.read(&mut [0]), Ok(0) | Err(_))
}

/// `("echo", ("x",), {})`
const CALL: &[u8] = b"\x80\x04\x8c\x04echo\x94\x8c\x01x\x94\x85\x94}\x94\x87\x94.";

#[test]
fn both_protocols_are_served_on_one_socket() {
    let served = Served::new();
    let mut python = connect(&served);
    python.write_all(&frame(CALL)).unwrap();
    assert_eq!(answer(&mut python), b"\x80\x04X\x01\0\0\0x.");
    let mut varlink = connect(&served);
    varlink
        .write_all(b"{\"method\":\"org.example.Legacy.Echo\",\"parameters\":{\"value\":1}}\0")
        .unwrap();
    let expected = b"{\"parameters\":{\"value\":1}}\0";
    let mut got = vec![0; expected.len()];
    varlink.read_exact(&mut got).unwrap();
    assert_eq!(got, expected);
}

#[test]
fn lengths_that_lie_are_no_danger() {
    let served = Served::new();
    let lies: [&[u8]; 3] = [
        b"\xff\xff\xff\xfe",
        b"\x80\x00\x00\x00",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for lie in lies {
        let mut stream = connect(&served);
        stream.write_all(lie).unwrap();
        assert!(closed(&mut stream), "{}", lie.escape_ascii());
    }
    // 2^62 bytes announced: nothing is allocated, and who goes is gone.
    let mut stream = connect(&served);
    stream
        .write_all(b"\xff\xff\xff\xff\x40\0\0\0\0\0\0\0")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(answer(&mut stream).ends_with(b"R."), "an exception");
    assert!(closed(&mut stream));
    let mut stream = connect(&served);
    stream.write_all(&frame(CALL)).unwrap();
    assert_eq!(answer(&mut stream).last(), Some(&b'.'));
}

#[test]
fn twenty_thousand_mutated_requests_keep_one_connection() {
    let served = Served::new();
    let mut stream = connect(&served);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [at, with, ..] = state.to_le_bytes();
        let mut pickle = CALL.to_vec();
        let at = usize::from(at) % pickle.len();
        if let Some(byte) = pickle.get_mut(at) {
            *byte = with;
        }
        stream.write_all(&frame(&pickle)).unwrap();
        assert!(answer(&mut stream).starts_with(b"\x80\x04"));
    }
}
