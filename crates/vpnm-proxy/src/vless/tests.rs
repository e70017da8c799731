//! Requests, responses and datagrams, whole, cut and broken.

use super::*;

const ID: [u8; 16] = *b"0123456789abcdef";

fn request(command: Command, target: &str) -> Request {
    Request {
        id: Uuid::from_bytes(ID),
        command,
        target: target.parse().unwrap(),
    }
}

#[test]
fn the_bytes_are_those_of_the_format() {
    let mut bytes = Vec::new();
    request(Command::Tcp, "example.com:443").encode(&mut bytes);
    let expected = [&[0][..], &ID, &[0, 1, 0x01, 0xbb, 2, 11], b"example.com"];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn a_request_is_read_back_from_any_number_of_pieces() {
    for target in ["example.com:443", "192.0.2.1:1", "[2001:db8::1]:65535"] {
        for command in [Command::Tcp, Command::Udp] {
            let request = request(command, target);
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            for cut in 0..bytes.len() {
                assert_eq!(Request::decode(&bytes[..cut]), Ok(None));
            }
            let length = bytes.len();
            bytes.extend(b"payload");
            assert_eq!(Request::decode(&bytes), Ok(Some((request, length))));
        }
    }
}

#[test]
fn what_is_no_request_says_why_as_soon_as_it_can() {
    let mut bytes = vec![1];
    assert_eq!(Request::decode(&bytes), Err(VlessError::Version(1)));
    bytes = [&[0][..], &ID, &[18]].concat();
    assert_eq!(Request::decode(&bytes), Err(VlessError::Addons));
    bytes = [&[0][..], &ID, &[0, 3]].concat();
    assert_eq!(Request::decode(&bytes), Err(VlessError::Command(3)));
    bytes = [&[0][..], &ID, &[0, 1, 0, 80, 9]].concat();
    let kind = VlessError::Address(AddressError::Kind(9));
    assert_eq!(Request::decode(&bytes), Err(kind));
}

#[test]
fn a_response_may_have_addons() {
    assert_eq!(decode_response(&[]), Ok(None));
    assert_eq!(decode_response(&[0]), Ok(None));
    assert_eq!(decode_response(&RESPONSE), Ok(Some(2)));
    assert_eq!(decode_response(&[0, 2, 7]), Ok(None));
    assert_eq!(decode_response(&[0, 2, 7, 7, 9]), Ok(Some(4)));
    assert_eq!(decode_response(b"HTTP"), Err(VlessError::Version(b'H')));
}

#[test]
fn datagrams_keep_their_boundaries() {
    let mut bytes = Vec::new();
    let longest = vec![7; 65_535];
    for datagram in [b"".as_slice(), b"one", &longest] {
        assert!(encode_datagram(datagram, &mut bytes));
    }
    let mut rest = bytes.as_slice();
    let mut lengths = Vec::new();
    while let Some(range) = decode_datagram(rest) {
        lengths.push(range.len());
        rest = &rest[range.end..];
    }
    assert_eq!(lengths, [0, 3, 65_535]);
    assert!(rest.is_empty());
    assert_eq!(decode_datagram(&bytes[..1]), None);
    assert!(!encode_datagram(&[0; 65_536], &mut bytes), "too long");
}

#[test]
fn no_bytes_make_the_parsers_panic() {
    crate::corpus::replay("inbound-header", |bytes| {
        if let Ok(Some((request, length))) = Request::decode(bytes) {
            let mut again = Vec::new();
            request.encode(&mut again);
            assert_eq!(Request::decode(&again), Ok(Some((request, again.len()))));
            assert!(length <= bytes.len());
        }
    });
    crate::corpus::replay("vless-response", |bytes| {
        if let Ok(Some(length)) = decode_response(bytes) {
            let range = decode_datagram(&bytes[length..]);
            assert!(range.is_none_or(|range| range.end + length <= bytes.len()));
        }
    });
}
