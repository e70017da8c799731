//! The mark every probe carries in its payload, and how it is found again in
//! a captured frame. Pure.

use super::kind::Kind;

const PREFIX: &[u8] = b"vpnm-probe-";
const END: u8 = b'~';
/// Longest name of a probe.
const LONGEST: usize = 32;

/// The mark of a probe, fit for a payload and for a label of a domain name.
pub(crate) fn of(kind: Kind) -> Vec<u8> {
    [PREFIX, kind.name().as_bytes(), &[END]].concat()
}

/// The probe a frame came from, if it carries a mark.
pub(crate) fn find(bytes: &[u8]) -> Option<&str> {
    let start = memchr::memmem::find(bytes, PREFIX)? + PREFIX.len();
    let rest = bytes.get(start..)?;
    let length = memchr::memchr(END, rest.get(..LONGEST).unwrap_or(rest))?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_again() {
        for kind in Kind::ALL {
            let mark = of(kind);
            assert!(mark.len() <= 63, "fits a label");
            let frame = [&[0, 255, b'v'][..], &mark, b"rest"].concat();
            assert_eq!(find(&frame), Some(kind.name()));
        }
    }

    #[test]
    fn nothing_is_found_in_other_bytes() {
        assert_eq!(find(b"vpnm-probe-"), None);
        assert_eq!(find(b"vpnm-probe-without end"), None);
        assert_eq!(find(&[]), None);
    }
}
