//! An absolute path.

use std::path::Path;

/// An absolute path in its plainest form: no empty, `.` or `..` parts, no NUL,
/// at most 4095 bytes. It says nothing about what is there: to hand over a
/// file, pass its descriptor (`#[fds(in = 1)]`), not its path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsPath(String);

impl AbsPath {
    /// As a path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    fn check(text: &str) -> Result<(), &'static str> {
        if text.len() > 4095 || text.contains('\0') {
            return Err("not a path");
        }
        let Some(parts) = text.strip_prefix('/') else {
            return Err("not an absolute path");
        };
        let plain = |part: &str| !matches!(part, "" | "." | "..");
        if parts.is_empty() || parts.split('/').all(plain) {
            return Ok(());
        }
        Err("not a plain path: it has empty, `.` or `..` parts")
    }
}

super::checked_text!(AbsPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_absolute_paths_and_nothing_else() {
        for good in ["/", "/etc/passwd", "/a b"] {
            assert!(AbsPath::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "/a/../b", "/a//b", "/a/", "/./a", "/a\0b"] {
            assert!(AbsPath::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
