//! Whatever a VMess server answers with.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_proxy::vmess::header::{Response, Secrets};

fuzz_target!(|bytes: &[u8]| {
    let secrets = Secrets {
        body_key: std::array::from_fn(|i| 0x10 + i as u8),
        body_iv: std::array::from_fn(|i| 0x40 + i as u8),
        check: 0x77,
        auth: [0; 4],
        nonce: [0; 8],
        padding: [0; 16],
    };
    let _ = Response::new(&secrets).open(bytes);
});
