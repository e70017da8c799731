//! A server and how to speak with it.

use serde::{Deserialize, Serialize};
use vpnm_wire::Target;

use crate::{Security, Transport, Uuid};

/// One way to one server. Serialised as its share link, which holds the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Profile {
    /// What people call it; may be empty, has no control characters.
    pub name: String,
    /// The server.
    pub server: Target,
    /// The protocol spoken with it.
    pub protocol: Protocol,
    /// What carries the protocol.
    pub transport: Transport,
    /// What protects the transport.
    pub security: Security,
}

/// The protocol spoken with the server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// VLESS: no encryption of its own.
    Vless(Vless),
    /// VMess in its AEAD form.
    Vmess(Vmess),
}

/// The settings of VLESS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vless {
    /// The user's secret.
    pub id: Uuid,
}

/// The settings of VMess.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Vmess {
    /// The user's secret.
    pub id: Uuid,
    /// How the traffic is sealed.
    pub cipher: VmessCipher,
}

/// How VMess seals the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VmessCipher {
    /// AES-128-GCM where the processor has AES, else ChaCha20-Poly1305.
    Auto,
    /// AES-128-GCM.
    Aes128Gcm,
    /// ChaCha20-Poly1305.
    ChaCha20Poly1305,
    /// Chunks in the clear.
    None,
    /// A bare stream in the clear.
    Zero,
}

impl Profile {
    /// Whether nobody between here and the server can read the traffic.
    ///
    /// False for VLESS, and for VMess with the ciphers `none` and `zero`, without TLS.
    #[must_use]
    pub fn is_confidential(&self) -> bool {
        let sealed = match &self.protocol {
            Protocol::Vless(_) => false,
            Protocol::Vmess(vmess) => {
                !matches!(vmess.cipher, VmessCipher::None | VmessCipher::Zero)
            }
        };
        sealed || matches!(self.security, Security::Tls(_))
    }
}

impl VmessCipher {
    /// The name in links and configurations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Aes128Gcm => "aes-128-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::None => "none",
            Self::Zero => "zero",
        }
    }
}
