//! Names of groups, from `/etc/group`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// The names of groups and their ids. The file is read again when it has
/// changed, so a group made after the daemon's start counts.
///
/// Only local groups have names here; a directory service's group is given by
/// number (`#[access(gid = 1234)]`). Who is *in* a group is the kernel's word,
/// never this file's.
#[derive(Debug)]
pub struct Groups {
    file: Option<PathBuf>,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    changed: Option<SystemTime>,
    ids: BTreeMap<String, u32>,
}

impl Groups {
    /// The machine's groups.
    #[must_use]
    pub fn system() -> Self {
        Self::of_file("/etc/group")
    }

    /// The groups of another file in the form of `/etc/group`.
    #[must_use]
    pub fn of_file(file: impl Into<PathBuf>) -> Self {
        Self {
            file: Some(file.into()),
            read: Mutex::default(),
        }
    }

    /// These groups and no others.
    #[must_use]
    pub fn fixed(groups: impl IntoIterator<Item = (&'static str, u32)>) -> Self {
        let ids = groups
            .into_iter()
            .map(|(name, gid)| (name.to_owned(), gid))
            .collect();
        Self {
            file: None,
            read: Mutex::new(Read { changed: None, ids }),
        }
    }

    /// The id of the group with this name.
    #[must_use]
    pub fn gid(&self, name: &str) -> Option<u32> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            let changed = std::fs::metadata(file)
                .and_then(|found| found.modified())
                .ok();
            if read.changed != changed || changed.is_none() {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                *read = Read {
                    changed,
                    ids: parse(&text),
                };
            }
        }
        read.ids.get(name).copied()
    }
}

/// `name:password:gid:members`, one group a line; the first of a name counts.
fn parse(text: &str) -> BTreeMap<String, u32> {
    let mut ids = BTreeMap::new();
    for line in text.lines() {
        let mut columns = line.split(':');
        let (name, gid) = (columns.next(), columns.nth(1));
        if let (Some(name), Some(Ok(gid))) = (name, gid.map(str::parse)) {
            ids.entry(name.to_owned()).or_insert(gid);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_no_groups_are_passed_over() {
        let ids = parse("root:x:0:\n# note\nvideo:x:44:ann,bob\nbad:x:many:\nvideo:x:45:\n\n");
        let expected = [("root".to_owned(), 0), ("video".to_owned(), 44)];
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_file_that_is_missing_names_nobody() {
        assert_eq!(Groups::of_file("/nonexistent/group").gid("root"), None);
    }
}
