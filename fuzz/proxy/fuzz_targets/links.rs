//! Any text is a link that reads back as written, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_profile::Link;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(link) = String::from_utf8_lossy(bytes).parse::<Link>() {
        assert_eq!(link.profile.to_link().parse(), Ok(link.profile));
    }
});
