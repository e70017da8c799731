//! A request to the VLESS server reads back as written, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_proxy::vless::Request;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some((request, length))) = Request::decode(bytes) {
        let mut again = Vec::new();
        request.encode(&mut again);
        assert_eq!(Request::decode(&again), Ok(Some((request, again.len()))));
        assert!(length <= bytes.len());
    }
});
