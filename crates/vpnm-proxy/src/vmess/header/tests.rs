//! The request and the response against vectors worked out a second time.

use super::*;
use crate::hex::hex;
use crate::vmess::vectors::{REQUEST_AES_TCP, REQUEST_NONE_UDP, RESPONSE, RESPONSE_LONG};

fn secrets() -> Secrets {
    let count = |from: u8| std::array::from_fn(|i| from + u8::try_from(i).unwrap());
    Secrets {
        body_key: count(0x10),
        body_iv: count(0x40),
        check: 0x77,
        auth: [1, 2, 3, 4],
        nonce: std::array::from_fn(|i| 0x90 + u8::try_from(i).unwrap()),
        padding: count(0xa0),
    }
}

fn sealed(cipher: Cipher, command: Command, target: &str) -> Vec<u8> {
    let key = CmdKey::new(&"0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9".parse().unwrap());
    let request = Request {
        key: &key,
        time: 1_700_000_000,
        cipher,
        command,
        target: &target.parse().unwrap(),
    };
    let mut bytes = Vec::new();
    request.seal(&secrets(), &mut bytes);
    bytes
}

#[test]
fn a_request_is_the_one_of_the_vectors() {
    let tcp = sealed(Cipher::Aes128Gcm, Command::Tcp, "example.com:443");
    assert_eq!(tcp, hex(REQUEST_AES_TCP));
    let udp = sealed(Cipher::None, Command::Udp, "[2001:db8::1]:53");
    assert_eq!(udp, hex(REQUEST_NONE_UDP));
}

#[test]
fn a_response_is_opened_once_it_is_complete() {
    let response = Response::new(&secrets());
    for vector in [RESPONSE, RESPONSE_LONG] {
        let mut bytes = hex(vector);
        for cut in 0..bytes.len() {
            assert_eq!(response.open(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
        let length = bytes.len();
        bytes.extend(b"body");
        assert_eq!(response.open(&bytes), Ok(Some(length)));
    }
}

#[test]
fn a_response_to_another_request_is_refused() {
    let mut other = secrets();
    other.check = 0x78;
    let check = Response::new(&other).open(&hex(RESPONSE));
    assert_eq!(check, Err(ResponseError::Check));
    other.body_key = [0; 16];
    let sealed = Response::new(&other).open(&hex(RESPONSE));
    assert_eq!(sealed, Err(ResponseError::Sealed));
    let mut changed = hex(RESPONSE);
    *changed.last_mut().unwrap() ^= 1;
    let sealed = Response::new(&secrets()).open(&changed);
    assert_eq!(sealed, Err(ResponseError::Sealed));
}

#[test]
fn no_bytes_make_the_response_panic() {
    let response = Response::new(&secrets());
    crate::corpus::replay("vmess-response", |bytes| {
        if let Ok(Some(length)) = response.open(bytes) {
            assert!(length <= bytes.len());
        }
    });
}
