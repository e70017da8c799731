//! How the body is sealed.

use aws_lc_rs::aead::{AES_128_GCM, CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use md5::{Digest as _, Md5};
use vpnm_profile::VmessCipher;

/// The cipher of a flow, as the header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128-GCM in padded chunks of masked length.
    Aes128Gcm,
    /// ChaCha20-Poly1305 in padded chunks of masked length.
    ChaCha20Poly1305,
    /// Chunks of masked length in the clear.
    None,
    /// A bare stream in the clear; only for TCP.
    Zero,
}

impl Cipher {
    /// Settles what `auto` means on this machine.
    #[must_use]
    pub fn resolve(cipher: VmessCipher) -> Self {
        match cipher {
            VmessCipher::Auto if has_aes() => Self::Aes128Gcm,
            VmessCipher::Aes128Gcm => Self::Aes128Gcm,
            VmessCipher::Auto | VmessCipher::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
            VmessCipher::None => Self::None,
            VmessCipher::Zero => Self::Zero,
        }
    }

    /// The same for datagrams, which need chunks to keep their boundaries.
    #[must_use]
    pub const fn for_datagrams(self) -> Self {
        match self {
            Self::Zero => Self::None,
            Self::Aes128Gcm | Self::ChaCha20Poly1305 | Self::None => self,
        }
    }

    /// The number in the header.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Aes128Gcm => 3,
            Self::ChaCha20Poly1305 => 4,
            Self::None | Self::Zero => 5,
        }
    }

    /// The options in the header: chunks (1), masked lengths (4), padding (8).
    pub(super) const fn options(self) -> u8 {
        match self {
            Self::Aes128Gcm | Self::ChaCha20Poly1305 => 0x0d,
            Self::None => 0x05,
            Self::Zero => 0,
        }
    }

    /// The key that seals the chunks, if anything does.
    pub(super) fn key(self, key: &[u8; 16]) -> Option<LessSafeKey> {
        let key = match self {
            Self::Aes128Gcm => UnboundKey::new(&AES_128_GCM, key),
            Self::ChaCha20Poly1305 => {
                let first: [u8; 16] = Md5::digest(key).into();
                let second: [u8; 16] = Md5::digest(first).into();
                UnboundKey::new(&CHACHA20_POLY1305, [first, second].as_flattened())
            }
            Self::None | Self::Zero => return None,
        };
        let key = key.expect("invariant: the key is as long as the cipher wants it");
        Some(LessSafeKey::new(key))
    }
}

fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}
