//! The request's text, and answers good and bad.

use super::*;

/// The key of RFC 6455 section 1.3.
const KEY: [u8; 16] = *b"the sample nonce";

fn answer(headers: &str) -> Result<Option<usize>, AnswerError> {
    let text = format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n\r\nrest");
    decode_answer(text.as_bytes(), KEY)
}

#[test]
fn the_proof_is_that_of_the_rfc() {
    assert_eq!(STANDARD.encode(KEY), "dGhlIHNhbXBsZSBub25jZQ==");
    assert_eq!(accept_of(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn the_request_asks_for_the_path_and_carries_early_data() {
    let path = "/a?b=c".parse().unwrap();
    let mut request = Request {
        path: &path,
        host: "host.test:8080",
        key: KEY,
        early: None,
    };
    let text = String::from_utf8(request.encode()).unwrap();
    assert!(
        text.starts_with("GET /a?b=c HTTP/1.1\r\nHost: host.test:8080\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
        "{text}"
    );
    assert!(
        text.ends_with("\r\n\r\n") && !text.contains("Sec-WebSocket-Protocol"),
        "{text}"
    );

    request.early = Some((EarlyDataPlace::Header, b"\xfb\xff?"));
    let text = String::from_utf8(request.encode()).unwrap();
    assert!(
        text.contains("\r\nSec-WebSocket-Protocol: -_8_\r\n\r\n"),
        "{text}"
    );

    request.early = Some((EarlyDataPlace::Path, b"\xfb\xff"));
    let text = String::from_utf8(request.encode()).unwrap();
    assert!(text.starts_with("GET /a?b=c-_8 HTTP/1.1\r\n"), "{text}");
}

#[test]
fn an_answer_is_judged() {
    let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let upgrade = "upgrade: WebSocket\r\nCONNECTION: keep-alive, Upgrade";
    let good = format!("{upgrade}\r\n{accept}\r\nX: y");
    let length = "HTTP/1.1 101 Switching Protocols\r\n".len() + good.len() + 4;
    assert_eq!(answer(&good), Ok(Some(length)));
    assert_eq!(answer(upgrade), Err(AnswerError::Accept));
    assert_eq!(answer(accept), Err(AnswerError::NoUpgrade));
    let extended = format!("{good}\r\nSec-WebSocket-Extensions: permessage-deflate");
    assert_eq!(answer(&extended), Err(AnswerError::Extension));
    assert_eq!(answer("nonsense"), Err(AnswerError::NotHttp));
    let missing = b"HTTP/1.1 404 Not Found\r\n\r\n";
    assert_eq!(decode_answer(missing, KEY), Err(AnswerError::Status(404)));
    assert_eq!(decode_answer(b"\x16\x03", KEY), Err(AnswerError::NotHttp));
    assert_eq!(
        decode_answer(b"HTTP/1.1 x\r\n\r\n", KEY),
        Err(AnswerError::NotHttp)
    );
}

#[test]
fn an_answer_that_does_not_end_is_given_up() {
    let mut bytes = b"HTTP/1.1 101 x\r\n".to_vec();
    assert_eq!(decode_answer(&bytes, KEY), Ok(None));
    assert_eq!(decode_answer(b"", KEY), Ok(None));
    bytes.resize(MAX_ANSWER, b'a');
    assert_eq!(decode_answer(&bytes, KEY), Err(AnswerError::TooLong));
}

#[test]
fn no_bytes_make_the_parser_panic() {
    crate::corpus::replay("ws-answer", |bytes| {
        if let Ok(Some(length)) = decode_answer(bytes, KEY) {
            assert!(length <= bytes.len());
        }
    });
}
