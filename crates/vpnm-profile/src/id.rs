//! The secret that a VLESS or VMess server knows its user by.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

/// Longest text that servers of the Xray family turn into an id by hashing.
const MAX_TEXT: usize = 30;

/// A user's id: 128 secret bits, usually written as a UUID.
///
/// Neither `Debug` nor any error prints it. There is no `Display`: writing the
/// secret out is [`Uuid::reveal`], by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid([u8; 16]);

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// The text is as long as a UUID and is none.
    #[error("it is not made of 32 hexadecimal digits in groups of 8-4-4-4-12")]
    Hexadecimal,
    /// The text has no length that a server would take.
    #[error("it is neither a UUID nor a text of at most {MAX_TEXT} bytes")]
    Length,
}

impl Uuid {
    /// The id from its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The secret as lower-case text in groups of 8-4-4-4-12 digits.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(36);
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for nibble in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(nibble.into(), 16));
            }
        }
        text
    }

    /// The id that Xray derives from a short text: a version 5 UUID (RFC 9562
    /// section 5.5) in the name space of sixteen zero bytes.
    fn from_text(text: &str) -> Result<Self, IdError> {
        let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(&[0; 16]);
        hash.update(text.as_bytes());
        let hash = hash.finish();
        let mut id = *hash.as_ref().first_chunk::<16>().ok_or(IdError::Length)?;
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut id;
        *version = *version & 0x0f | 0x50;
        *variant = *variant & 0x3f | 0x80;
        Ok(Self(id))
    }

    fn from_hexadecimal(text: &str) -> Result<Self, IdError> {
        let mut digits = text.bytes().filter(|b| *b != b'-');
        let mut id = [0; 16];
        for byte in &mut id {
            for _ in 0..2 {
                let digit = digits.next().map(char::from).and_then(|c| c.to_digit(16));
                let digit = digit.and_then(|d| u8::try_from(d).ok());
                *byte = *byte << 4 | digit.ok_or(IdError::Hexadecimal)?;
            }
        }
        match digits.next() {
            None => Ok(Self(id)),
            Some(_) => Err(IdError::Hexadecimal),
        }
    }
}

impl FromStr for Uuid {
    type Err = IdError;

    /// Reads a UUID with or without hyphens; any text of 1 to 30 bytes stands for
    /// the id that servers of the Xray family derive from it.
    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.len() {
            0 => Err(IdError::Empty),
            1..=MAX_TEXT => Self::from_text(text),
            32..=36 => Self::from_hexadecimal(text),
            _ => Err(IdError::Length),
        }
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uuid(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_with_and_without_hyphens() {
        let id: Uuid = "0A1B2C3D-4e5f-6071-8293-a4b5c6d7e8f9".parse().unwrap();
        assert_eq!(id.reveal(), "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9");
        assert_eq!("0a1b2c3d4e5f60718293a4b5c6d7e8f9".parse(), Ok(id));
    }

    #[test]
    fn a_short_text_is_hashed() {
        // python3: uuid.UUID(bytes=sha1(bytes(16) + b"example").digest()[:16], version=5)
        let id: Uuid = "example".parse().unwrap();
        assert_eq!(id.reveal(), EXAMPLE);
    }

    #[test]
    fn what_is_no_id_says_why() {
        assert_eq!("".parse::<Uuid>(), Err(IdError::Empty));
        assert_eq!("x".repeat(31).parse::<Uuid>(), Err(IdError::Length));
        assert_eq!("x".repeat(37).parse::<Uuid>(), Err(IdError::Length));
        assert_eq!("x".repeat(32).parse::<Uuid>(), Err(IdError::Hexadecimal));
        assert_eq!("a".repeat(33).parse::<Uuid>(), Err(IdError::Hexadecimal));
    }

    #[test]
    fn debug_keeps_the_secret() {
        let id: Uuid = "0a1b2c3d4e5f60718293a4b5c6d7e8f9".parse().unwrap();
        assert_eq!(format!("{id:?}"), "Uuid(secret)");
    }

    const EXAMPLE: &str = "feb54431-301b-52bb-a6dd-e1e93e81bb9e";
}
