//! Where the daemon keeps what it keeps.

use std::path::PathBuf;

use crate::{journal, lock, settings};

/// Where the daemon keeps what it keeps. The defaults are the only places in use;
/// a test gives its daemon a file system of its own instead of other paths.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of the journal.
    pub journal: PathBuf,
    /// The settings' file.
    pub settings: PathBuf,
    /// The directory of the socket and the lock.
    pub runtime: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal: journal::DIRECTORY.into(),
            settings: settings::FILE.into(),
            runtime: lock::DIRECTORY.into(),
        }
    }
}
