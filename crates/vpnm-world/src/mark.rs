//! How probes are told from other traffic: by a mark in the payload, and by
//! the source port where a payload cannot show it. Pure.

use std::ops::RangeInclusive;

/// Source ports that only probes use, so that a probe to the server's own
/// address and port is told from the engine's traffic to it.
pub const PROBE_PORTS: RangeInclusive<u16> = 61_000..=65_535;

const PREFIX: &[u8] = b"vpnm-probe-";
const END: u8 = b'~';
/// Longest name of a probe.
const LONGEST: usize = 32;

/// The mark of the probe called `name`, fit for a payload and for a label of
/// a domain name.
pub(crate) fn of(name: &str) -> Vec<u8> {
    [PREFIX, name.as_bytes(), &[END]].concat()
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
    fn a_mark_is_found_again() {
        let frame = [&[0, 255, b'v'][..], &of("dns-udp"), b"rest"].concat();
        assert_eq!(find(&frame), Some("dns-udp"));
    }

    #[test]
    fn nothing_is_found_in_other_bytes() {
        assert_eq!(find(b"vpnm-probe-"), None);
        assert_eq!(find(b"vpnm-probe-without end"), None);
        assert_eq!(find(&[]), None);
    }
}
