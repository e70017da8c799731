//! Whatever answers a request for a WebSocket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_proxy::ws::handshake::decode_answer;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(length)) = decode_answer(bytes, *b"the sample nonce") {
        assert!(length <= bytes.len());
    }
});
