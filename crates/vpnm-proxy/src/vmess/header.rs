//! The request's header and the response's.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use vpnm_wire::Target;

use super::auth::CmdKey;
use super::cipher::Cipher;
use super::kdf;
use crate::address;

const VERSION: u8 = 1;
/// The length of an AEAD tag.
const TAG: usize = 16;
/// A sealed length.
const SEALED_LENGTH: usize = 2 + TAG;

/// What is random in a request. The first three are the secrets of the flow.
#[derive(Clone)]
pub struct Secrets {
    /// What the chunks are sealed with.
    pub body_key: [u8; 16],
    /// What their nonces and the masks of their lengths are made of.
    pub body_iv: [u8; 16],
    /// What the response has to repeat.
    pub check: u8,
    /// For the first sixteen bytes.
    pub auth: [u8; 4],
    /// For the keys of the header.
    pub nonce: [u8; 8],
    /// Up to 15 bytes at the end of the header; the last byte says how many.
    pub padding: [u8; 16],
}

/// What a client asks a server for.
#[derive(Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub key: &'a CmdKey,
    /// Seconds since 1970.
    pub time: u64,
    /// How the body is sealed.
    pub cipher: Cipher,
    /// For what.
    pub command: Command,
    /// Whereto.
    pub target: &'a Target,
}

/// The kind of flow asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A TCP connection.
    Tcp,
    /// Datagrams to and from one destination.
    Udp,
}

/// Why bytes are no response to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It is not sealed with the keys of the request.
    #[error("the response is not sealed with the keys of the request")]
    Sealed,
    /// It is too short.
    #[error("the response is too short")]
    Short,
    /// It answers another request.
    #[error("the response answers another request")]
    Check,
}

impl Request<'_> {
    /// Appends the sealed request.
    pub fn seal(&self, secrets: &Secrets, out: &mut Vec<u8>) {
        let mut header = self.encode(secrets);
        let auth = self.key.auth_id(self.time, secrets.auth);
        let length = u16::try_from(header.len());
        let length = length.expect("invariant: a header has at most 330 bytes");
        let mut length = length.to_be_bytes().to_vec();
        let seal = |label: [&[u8]; 2], bytes: &mut Vec<u8>| {
            let path = |label| [label, auth.as_slice(), secrets.nonce.as_slice()];
            let [key, nonce] = label;
            let key = kdf::derive_key(self.key.as_bytes(), &path(key));
            let nonce = kdf::derive_nonce(self.key.as_bytes(), &path(nonce));
            let nonce = Nonce::assume_unique_for_key(nonce);
            let sealed = aes(&key).seal_in_place_append_tag(nonce, Aad::from(auth), bytes);
            sealed.expect("invariant: the header is short");
        };
        seal(
            [
                b"VMess Header AEAD Key_Length",
                b"VMess Header AEAD Nonce_Length",
            ],
            &mut length,
        );
        seal(
            [b"VMess Header AEAD Key", b"VMess Header AEAD Nonce"],
            &mut header,
        );
        out.extend(auth);
        out.extend(length);
        out.extend(secrets.nonce);
        out.extend(header);
    }

    fn encode(&self, secrets: &Secrets) -> Vec<u8> {
        let mut header = Vec::with_capacity(512);
        header.push(VERSION);
        header.extend(secrets.body_iv);
        header.extend(secrets.body_key);
        let [.., padding] = secrets.padding;
        let padding = padding & 15;
        header.push(secrets.check);
        header.push(self.cipher.options());
        header.push(padding << 4 | self.cipher.code());
        header.push(0);
        header.push(match self.command {
            Command::Tcp => 1,
            Command::Udp => 2,
        });
        address::encode(self.target, &mut header);
        header.extend(secrets.padding.iter().take(padding.into()));
        let sum = fnv1a(&header);
        header.extend(sum.to_be_bytes());
        header
    }
}

/// Opens the response to one request.
pub struct Response {
    key: [u8; 16],
    iv: [u8; 16],
    check: u8,
}

impl Response {
    /// For the request made with `secrets`.
    #[must_use]
    pub fn new(secrets: &Secrets) -> Self {
        Self {
            key: response_secret(&secrets.body_key),
            iv: response_secret(&secrets.body_iv),
            check: secrets.check,
        }
    }

    /// What the chunks of the response are sealed with: a key and an IV.
    #[must_use]
    pub const fn body_secrets(&self) -> ([u8; 16], [u8; 16]) {
        (self.key, self.iv)
    }

    /// The length of the sealed response header at the beginning of `bytes`; nothing while it
    /// is not complete.
    ///
    /// Whatever the header says beyond the check is of no use to a client: the one
    /// command there ever was asks it to come to another port.
    ///
    /// # Errors
    /// [`ResponseError`] when it is not the response to the request.
    pub fn open(&self, bytes: &[u8]) -> Result<Option<usize>, ResponseError> {
        let Some((sealed, rest)) = bytes.split_first_chunk::<SEALED_LENGTH>() else {
            return Ok(None);
        };
        let mut sealed = *sealed;
        let labels: [&[u8]; 2] = [b"AEAD Resp Header Len Key", b"AEAD Resp Header Len IV"];
        let length = self.open_part(labels, &mut sealed)?;
        let length = length
            .first_chunk()
            .map(|length| u16::from_be_bytes(*length));
        let end = usize::from(length.ok_or(ResponseError::Short)?) + TAG;
        let Some(header) = rest.get(..end) else {
            return Ok(None);
        };
        let mut header = header.to_vec();
        let labels: [&[u8]; 2] = [b"AEAD Resp Header Key", b"AEAD Resp Header IV"];
        let header = self.open_part(labels, &mut header)?;
        let [check, _options, _command, _length] =
            *header.first_chunk().ok_or(ResponseError::Short)?;
        if check != self.check {
            return Err(ResponseError::Check);
        }
        Ok(Some(SEALED_LENGTH + end))
    }

    fn open_part<'b>(
        &self,
        [key, nonce]: [&[u8]; 2],
        sealed: &'b mut [u8],
    ) -> Result<&'b [u8], ResponseError> {
        let key = kdf::derive_key(&self.key, &[key]);
        let nonce = Nonce::assume_unique_for_key(kdf::derive_nonce(&self.iv, &[nonce]));
        let opened = aes(&key).open_in_place(nonce, Aad::empty(), sealed);
        opened
            .map(|plain| &*plain)
            .map_err(|_| ResponseError::Sealed)
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

fn response_secret(request: &[u8; 16]) -> [u8; 16] {
    let hash = digest(&SHA256, request);
    *hash
        .as_ref()
        .first_chunk()
        .expect("invariant: SHA-256 gives 32 bytes")
}

fn aes(key: &[u8; 16]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_128_GCM, key);
    LessSafeKey::new(key.expect("invariant: the key has 16 bytes"))
}

/// FNV-1a with 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, step)
}

#[cfg(test)]
mod tests;
