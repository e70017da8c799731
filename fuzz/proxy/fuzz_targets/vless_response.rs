//! Whatever a VLESS server answers with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_proxy::vless::{decode_datagram, decode_response};

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(length)) = decode_response(bytes) else {
        return;
    };
    let mut rest = &bytes[length..];
    while let Some(range) = decode_datagram(rest) {
        rest = &rest[range.end..];
    }
});
