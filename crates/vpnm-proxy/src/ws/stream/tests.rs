//! The stream against a server written down frame by frame.

use tokio::io::{DuplexStream, duplex};
use vpnm_profile::Path;

use super::super::frame::Header;
use super::super::handshake::accept_of;
use super::*;

const KEY: [u8; 16] = *b"the sample nonce";

/// A WebSocket that has been agreed on, with `glued` sent right behind the answer.
async fn agreed(glued: &[u8]) -> (WebSocketStream, DuplexStream) {
    let (near, mut far) = duplex(1 << 20);
    let accept = accept_of(KEY);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    far.write_all(answer.as_bytes()).await.unwrap();
    far.write_all(glued).await.unwrap();
    let ours = ask(near).await.unwrap();
    let mut request = vec![0; 4096];
    let count = far.read(&mut request).await.unwrap();
    assert!(request[..count].ends_with(b"\r\n\r\n"));
    (ours, far)
}

async fn ask(near: DuplexStream) -> Result<WebSocketStream, DialError> {
    let request = Request {
        path: &Path::root(),
        host: "h.test",
        key: KEY,
        early: None,
    };
    connect(Box::new(near), request).await
}

/// The payload of the one masked frame that `far` has been sent.
async fn masked_frame(far: &mut DuplexStream) -> (Header, Vec<u8>) {
    let mut bytes = vec![0; 1 << 20];
    let mut end = 0;
    loop {
        end += far.read(&mut bytes[end..]).await.unwrap();
        let Ok(Some((header, start))) = Header::decode(&bytes[..end]) else {
            continue;
        };
        let stop = start + usize::try_from(header.length).unwrap();
        if end < stop {
            continue;
        }
        assert_eq!(end, stop, "one frame and no more");
        let mut payload = bytes[start..stop].to_vec();
        super::super::frame::apply_mask(header.mask.unwrap(), 0, &mut payload);
        return (header, payload);
    }
}

#[tokio::test]
async fn what_comes_with_the_answer_is_read_first() {
    let (mut ours, mut far) = agreed(&[0x82, 3, b'a', b'b', b'c', 0x82, 2, b'd']).await;
    far.write_all(b"e").await.unwrap();
    let mut got = [0; 5];
    ours.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"abcde");
}

#[tokio::test]
async fn every_write_is_one_masked_message() {
    let (mut ours, mut far) = agreed(&[]).await;
    for size in [1, 126, 65_536] {
        let bytes = vec![7; size];
        ours.write_all(&bytes).await.unwrap();
        ours.flush().await.unwrap();
        let (header, payload) = masked_frame(&mut far).await;
        assert!(header.fin && payload == bytes, "{size}");
    }
}

#[tokio::test]
async fn a_ping_is_answered_while_reading() {
    let (mut ours, mut far) = agreed(&[0x89, 2, b'h', b'i', 0x82, 1, b'x']).await;
    let mut got = [0; 8];
    assert_eq!(ours.read(&mut got).await.unwrap(), 1);
    far.write_all(&[0x82, 1, b'y']).await.unwrap();
    assert_eq!(ours.read(&mut got).await.unwrap(), 1);
    let (header, payload) = masked_frame(&mut far).await;
    assert_eq!(header.opcode, super::super::frame::Opcode::Pong);
    assert_eq!(payload, b"hi");
}

#[tokio::test]
async fn a_close_ends_reading_is_answered_and_forbids_writing() {
    let (mut ours, mut far) = agreed(&[0x82, 1, b'x', 0x88, 2, 3, 0xe8]).await;
    let mut got = Vec::new();
    ours.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"x");
    let (header, payload) = masked_frame(&mut far).await;
    assert_eq!(header.opcode, super::super::frame::Opcode::Close);
    assert_eq!(payload, 1000_u16.to_be_bytes());
    let refused = ours.write(b"y").await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn an_end_inside_a_message_is_an_error_and_one_between_them_is_not() {
    for (bytes, whole) in [(&[0x82, 2, b'x'][..], false), (&[0x82, 1, b'x'], true)] {
        let (mut ours, far) = agreed(bytes).await;
        drop(far);
        let mut got = Vec::new();
        let ended = ours.read_to_end(&mut got).await;
        assert_eq!((got.as_slice(), ended.is_ok()), (&b"x"[..], whole));
    }
}

#[tokio::test]
async fn a_broken_frame_is_an_error_after_what_came_before() {
    let (mut ours, _far) = agreed(&[0x82, 1, b'x', 0x83, 0]).await;
    let mut got = [0; 8];
    assert_eq!(ours.read(&mut got).await.unwrap(), 1);
    let error = ours.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn another_answer_is_told_apart() {
    let cases = [
        ("HTTP/1.1 404 Not Found\r\n\r\n", "websocket"),
        ("SSH-2.0-OpenSSH_9.9\r\n", "handshake"),
        ("", "rejected"),
    ];
    for (answer, code) in cases {
        let (near, mut far) = duplex(1 << 16);
        far.write_all(answer.as_bytes()).await.unwrap();
        far.shutdown().await.unwrap();
        let error = ask(near).await.map(drop).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}
