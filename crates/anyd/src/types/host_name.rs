//! A host's name.

/// A host name as RFC 1123 section 2.1 has it: dotted labels of 1 to 63
/// letters, digits and inner hyphens, 253 bytes together, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

impl HostName {
    fn check(text: &str) -> Result<(), &'static str> {
        if text.is_empty() || text.len() > 253 {
            return Err("not a host name: 1 to 253 letters, digits, hyphens and dots");
        }
        if !text.split('.').all(is_label) {
            return Err("not a host name");
        }
        Ok(())
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

super::checked_text!(HostName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_and_nothing_else() {
        for good in ["a", "a-b.example", "192.0.2.1", "xn--bcher-kva.example"] {
            assert!(HostName::try_from(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        let bad = [
            "",
            ".",
            "a.",
            "-a",
            "a-",
            "x;rm -rf /",
            "--config=/etc/shadow",
            "a b",
            "a_b",
            "ä",
            "a\n",
            &long,
        ];
        for bad in bad {
            assert!(HostName::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
