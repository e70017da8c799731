//! A text of bounded length.

/// A text of `MIN` to `MAX` bytes, without control characters but tab and
/// newline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    fn check(text: &str) -> Result<(), String> {
        if text.len() < MIN {
            return Err(format!("shorter than {MIN} bytes"));
        }
        if text.len() > MAX {
            return Err(format!("longer than {MAX} bytes"));
        }
        if !is_plain(text) && text.contains(is_control) {
            return Err("has a control character".to_owned());
        }
        Ok(())
    }
}

/// Whether all is printable ASCII, found without looking at letters one by
/// one: long texts are.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte))
}

fn is_control(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\n' | '\t')
}

super::checked_text!(Text<const MIN: usize, const MAX: usize>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_letters_are_checked() {
        assert!(Text::<1, 4>::try_from("tab\t").is_ok());
        assert!(Text::<1, 4>::try_from("äö").is_ok());
        for bad in ["", "five!", "a\0b", "\u{1b}[m", "a\u{7f}", "a\u{85}"] {
            assert!(Text::<1, 4>::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
