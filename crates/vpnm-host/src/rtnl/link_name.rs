//! The name of a link, as rules carry it.

use std::fmt;

/// Bytes of a name, the closing zero among them (`IFNAMSIZ`).
const LENGTH: usize = 16;

/// The name of a network interface: at most 15 bytes, none of them zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName {
    bytes: [u8; LENGTH],
}

impl LinkName {
    /// A name; what is behind its fifteenth byte is cut off.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::from_bytes(name.as_bytes())
    }

    /// The name in an attribute, which ends at the first zero.
    pub(crate) fn from_bytes(name: &[u8]) -> Self {
        let mut bytes = [0; LENGTH];
        let name = name.iter().take_while(|byte| **byte != 0);
        for (to, from) in bytes.iter_mut().take(LENGTH - 1).zip(name) {
            *to = *from;
        }
        Self { bytes }
    }

    /// The name; empty if it is no text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.bytes.split(|byte| *byte == 0).next();
        std::str::from_utf8(name.unwrap_or_default()).unwrap_or_default()
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_as_written() {
        assert_eq!(LinkName::new("vpnm0").as_str(), "vpnm0");
        assert_eq!(LinkName::from_bytes(b"eth0\0rest").as_str(), "eth0");
        assert_eq!(
            LinkName::new("longer-than-a-name").as_str(),
            "longer-than-a-n"
        );
        assert_eq!(LinkName::from_bytes(&[0xff]).as_str(), "");
    }
}
