//! Domain names on the wire (RFC 1035 sections 3.1 and 4.1.4).

use std::fmt;

use vpnm_wire::{Domain, Host};

use super::WireError;

/// Longest name on the wire, with its root label.
const MAX_NAME: usize = 255;

/// An uncompressed, lower-case name in wire form, root label included.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

/// The position after the name that begins at `at`.
///
/// A compression pointer ends the name in place; it has to point backwards.
///
/// # Errors
/// [`WireError`] when the name is malformed or leaves the message.
pub fn skip_name(message: &[u8], at: usize) -> Result<usize, WireError> {
    let mut cursor = at;
    loop {
        let length = *message.get(cursor).ok_or(WireError::Truncated)?;
        match length {
            0 => return Ok(cursor + 1),
            1..=63 => cursor += usize::from(length) + 1,
            0xc0..=0xff => {
                let low = *message.get(cursor + 1).ok_or(WireError::Truncated)?;
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                return match target < at {
                    true => Ok(cursor + 2),
                    false => Err(WireError::Pointer),
                };
            }
            64..=0xbf => return Err(WireError::Label),
        }
        if cursor - at >= MAX_NAME {
            return Err(WireError::NameTooLong);
        }
    }
}

/// The uncompressed name that begins at `at`, as it is spelled, root label included.
///
/// # Errors
/// [`WireError`] when the name is malformed, compressed, or leaves the message.
pub fn wire_name(message: &[u8], at: usize) -> Result<&[u8], WireError> {
    let end = skip_name(message, at)?;
    let name = message.get(at..end).ok_or(WireError::Truncated)?;
    match name.last() {
        Some(0) if name.len() <= MAX_NAME && !is_compressed(name) => Ok(name),
        Some(0) if name.len() > MAX_NAME => Err(WireError::NameTooLong),
        _ => Err(WireError::Pointer),
    }
}

/// The name that begins at `at`, its pointers followed, lower-case, in wire form.
///
/// # Errors
/// [`WireError`] when the name is malformed, leaves the message or is too long.
pub(crate) fn expanded_name(message: &[u8], at: usize) -> Result<Vec<u8>, WireError> {
    let mut name = Vec::new();
    let (mut cursor, mut barrier) = (at, at);
    loop {
        let length = *message.get(cursor).ok_or(WireError::Truncated)?;
        match length {
            0..=63 => {
                let end = cursor + usize::from(length) + 1;
                let label = message.get(cursor..end).ok_or(WireError::Truncated)?;
                name.extend(label.iter().map(u8::to_ascii_lowercase));
                if name.len() > MAX_NAME {
                    return Err(WireError::NameTooLong);
                }
                if length == 0 {
                    return Ok(name);
                }
                cursor = end;
            }
            0xc0..=0xff => {
                let target = usize::from(super::u16_at(message, cursor)? & 0x3fff);
                // Ever further back, so that it comes to an end.
                if target >= barrier {
                    return Err(WireError::Pointer);
                }
                (cursor, barrier) = (target, target);
            }
            64..=0xbf => return Err(WireError::Label),
        }
    }
}

/// Whether a name that was skipped successfully ends in a pointer.
fn is_compressed(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some((&length, tail)) = rest.split_first() {
        if length >= 0xc0 {
            return true;
        }
        rest = tail.get(usize::from(length)..).unwrap_or_default();
    }
    false
}

/// The name as a [`Domain`], when it is one that a proxy can be asked for.
#[must_use]
pub fn domain_of(name: &[u8]) -> Option<Domain> {
    let mut text = String::with_capacity(name.len());
    for label in labels(name) {
        if !text.is_empty() {
            text.push('.');
        }
        if label.contains(&b'.') {
            return None;
        }
        text.push_str(std::str::from_utf8(label).ok()?);
    }
    match Host::domain(&text).ok()? {
        Host::Domain(domain) => Some(domain),
        Host::Ip(_) => None,
    }
}

/// The labels of an uncompressed name, leftmost first, without the root.
pub(crate) fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let (label, after) = tail.split_at_checked(usize::from(length))?;
        rest = after;
        (length > 0 && length < 64).then_some(label)
    })
}

impl Name {
    /// Encodes a validated domain.
    #[must_use]
    pub fn from_domain(domain: &Domain) -> Self {
        let mut wire = Vec::with_capacity(domain.as_str().len() + 2);
        for label in domain.as_str().split('.') {
            wire.push(u8::try_from(label.len()).unwrap_or(0));
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        Self(wire.into())
    }

    /// The name in wire form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in labels(&self.0) {
            write!(f, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_skipped_to_its_end() {
        assert_eq!(skip_name(b"\x03www\x02de\0rest", 0), Ok(8));
        assert_eq!(skip_name(b"\0", 0), Ok(1));
        assert_eq!(skip_name(b"\x01a\0\x01b\xc0\x00", 3), Ok(7));
    }

    #[test]
    fn pointers_are_followed_back_only() {
        let message = b"\x02De\0\x03www\xc0\x00\x01A\xc0\x04";
        assert_eq!(expanded_name(message, 10).unwrap(), b"\x01a\x03www\x02de\0");
        assert_eq!(expanded_name(b"\xc0\x00", 0), Err(WireError::Pointer));
        let circle = b"\x01a\xc0\x04\x01b\xc0\x00";
        assert_eq!(expanded_name(circle, 4), Err(WireError::Pointer));
        assert_eq!(expanded_name(b"\x05www", 0), Err(WireError::Truncated));
        let long: Vec<u8> = std::iter::repeat_n([1, b'a'], 140).flatten().collect();
        assert_eq!(expanded_name(&long, 0), Err(WireError::NameTooLong));
    }

    #[test]
    fn malformed_names_are_told_apart() {
        assert_eq!(skip_name(b"\x05www", 0), Err(WireError::Truncated));
        assert_eq!(skip_name(b"\xc0\x00", 0), Err(WireError::Pointer));
        assert_eq!(skip_name(b"\x01a\0\xc0\x03", 3), Err(WireError::Pointer));
        assert_eq!(skip_name(b"\x40a", 0), Err(WireError::Label));
        let long: Vec<u8> = std::iter::repeat_n([1, b'a'], 140).flatten().collect();
        assert_eq!(skip_name(&long, 0), Err(WireError::NameTooLong));
    }

    #[test]
    fn only_plain_names_become_domains() {
        assert_eq!(domain_of(b"\x03WwW\x02de\0").unwrap().as_str(), "www.de");
        assert!(domain_of(b"\0").is_none());
        assert!(domain_of(b"\x03a b\x02de\0").is_none());
        assert!(domain_of(b"\x03a.b\xff\0").is_none());
    }
}
