//! Whatever stands for the chunks of a VMess flow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vpnm_proxy::vmess::Cipher;
use vpnm_proxy::vmess::body::{Opened, Opener};

fuzz_target!(|bytes: &[u8]| {
    for cipher in [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305, Cipher::None, Cipher::Zero] {
        let key = std::array::from_fn(|i| 0x10 + i as u8);
        let iv = std::array::from_fn(|i| 0x40 + i as u8);
        let mut opener = Opener::new(cipher, &key, iv);
        let mut waiting = bytes.to_vec();
        while let Ok(Opened::Chunk { used, .. }) = opener.open(&mut waiting) {
            waiting.drain(..used);
        }
    }
});
