//! The name of a network interface.

/// The name of a network interface, as Linux's `dev_valid_name` has it: 1 to
/// 15 bytes, no `/`, `:` or white space, neither `.` nor `..`; here also only
/// printable ASCII, and no `-` in front, which programs take for an option.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IfName(String);

impl IfName {
    fn check(text: &str) -> Result<(), &'static str> {
        let letters = text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
        let fine = (1..=15).contains(&text.len())
            && letters
            && !matches!(text, "." | "..")
            && !text.starts_with('-');
        if fine {
            return Ok(());
        }
        Err("not the name of a network interface")
    }
}

super::checked_text!(IfName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_names_and_nothing_else() {
        for good in ["lo", "eth0", "br-lan", "eth0.7", "veth0@if3"] {
            assert!(IfName::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a:1", "-a", "a b", "sixteen-letters-"] {
            assert!(IfName::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
