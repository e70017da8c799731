//! The names of links as text. Linux takes almost any bytes for a name.

/// What stands before the two digits of a byte that is no text. No name of a link has it.
const ESCAPE: char = '/';

/// A name, which ends at the first zero, as text that is another for every other name.
pub(crate) fn link_name(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut name = String::new();
    for chunk in bytes.utf8_chunks() {
        for one in chunk.valid().chars() {
            if one == ESCAPE || one.is_control() {
                escape(&mut name, one.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                name.push(one);
            }
        }
        escape(&mut name, chunk.invalid());
    }
    name
}

fn escape(name: &mut String, bytes: &[u8]) {
    let digit = |value: u8| char::from_digit(value.into(), 16);
    for byte in bytes {
        name.push(ESCAPE);
        name.extend([byte >> 4, byte & 0xf].into_iter().filter_map(digit));
    }
}

/// The bytes of a name that was read as text, without a zero behind them.
pub(crate) fn link_name_bytes(name: &str) -> Vec<u8> {
    let mut parts = name.split(ESCAPE);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part
            .get(..2)
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match (byte, part.get(2..)) {
            (Some(byte), Some(rest)) => {
                bytes.push(byte);
                bytes.extend(rest.as_bytes());
            }
            _ => bytes.extend(format!("{ESCAPE}{part}").as_bytes()),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_text_is_that_text() {
        for name in ["eth0", "wlp0s20f3", "café", "br-4.7_a@b", "", "eth*"] {
            assert_eq!(link_name(name.as_bytes()), name);
            assert_eq!(link_name_bytes(name), name.as_bytes());
        }
        assert_eq!(link_name(b"eth0\0rest"), "eth0");
    }

    #[test]
    fn what_is_no_text_shows_its_bytes() {
        assert_eq!(link_name(b"eth\xff"), "eth/ff");
        assert_eq!(link_name(b"\x1b[7m"), "/1b[7m");
        assert_eq!(link_name(b"a/ff"), "a/2fff");
    }

    #[test]
    fn every_name_is_read_back_as_written() {
        let bytes = [b'e', b'/', b'f', b'2', 0x1b, 0x7f, 0x80, 0xc3, 0xa9, 0xff];
        let mut names = vec![Vec::new()];
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..4 {
            let longer = |name: &Vec<u8>| bytes.map(|byte| [name.as_slice(), &[byte]].concat());
            names = names.iter().flat_map(longer).collect();
            for name in &names {
                let text = link_name(name);
                assert_eq!(link_name_bytes(&text), *name, "{text}");
                assert!(seen.insert(text));
            }
        }
    }

    #[test]
    fn text_that_is_no_escape_is_left_as_it_is() {
        for text in ["/", "a/", "a/f", "a/zz", "//", "/é"] {
            assert_eq!(link_name_bytes(text), text.as_bytes());
        }
    }
}
