//! Whatever an upstream sends, what is made of it for a client is well-formed.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vpnm_dns::wire::{Asker, Key, Query, Records, Reply, Response, kind, render};

const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\x01\x04site\x07example\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";

fuzz_target!(|bytes: &[u8]| {
    let key = Key::new(b"\x04site\x07example\0", kind::A, false, false);
    let Ok(response) = Response::decode(bytes, &key) else {
        return;
    };
    assert!(response.addresses().count() <= bytes.len());
    let believed = |name: &[u8]| name == key.name();
    if let Ok(response) = Response::decode_trusting(bytes, &key, believed) {
        let records = Records::of(response.message()).expect("a header");
        assert!(records.into_iter().all(|record| record.is_ok()));
    }
    let asker = Asker::of(&Query::decode(QUERY).expect("a query"), false);
    let reply = Reply::Kept {
        response: &response,
        age: Duration::from_secs(7),
        info: None,
    };
    let message = render(&asker, &reply);
    let records = Records::of(&message).expect("a header");
    assert!(records.into_iter().all(|record| record.is_ok()));
});
