//! What must survive the daemon: the record of what is wanted, on disk.
//!
//! One file, replaced as a whole: written beside, synced, renamed, and the
//! directory synced, so that after a crash at any instruction either the old or
//! the new record is there. A file that is there and cannot be read means that
//! the machine was to be secured.

mod file;
mod text;

use std::io;
use std::path::{Path, PathBuf};

use crate::tsm::Record;

/// Where the journal is kept.
pub const DIRECTORY: &str = "/var/lib/vpnm";

const NAME: &str = "journal";

/// The journal of one directory.
#[derive(Debug, Clone)]
pub struct Journal {
    directory: PathBuf,
}

/// Why the journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else can write the file, so that nothing it says can be trusted.
    #[error("{path} is not a file that only root can write")]
    Unsafe {
        /// The file.
        path: PathBuf,
    },
    /// The file is of no use.
    #[error("the journal is damaged: {0}")]
    Damaged(#[from] Damage),
}

/// What is wrong with a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is longer than any journal.
    #[error("it is too long")]
    Long,
    /// It does not begin as a journal.
    #[error("it does not begin as a journal")]
    Header,
    /// A newer daemon wrote it.
    #[error("it has version {0}, this daemon knows version {known}", known = text::VERSION)]
    Version(u32),
    /// The checksum is another.
    #[error("the checksum is wrong")]
    Checksum,
    /// What follows the header is no record.
    #[error("it holds no record")]
    Record,
}

impl Journal {
    /// The journal in a directory, which need not exist yet.
    #[must_use]
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
        }
    }

    /// Reads the record; `None` if none was ever written.
    ///
    /// # Errors
    /// [`JournalError`]: there is something, and it cannot be used.
    pub fn load(&self) -> Result<Option<Record>, JournalError> {
        let bytes = file::read(&self.directory.join(NAME), text::MAX_BYTES)?;
        let record = bytes.map(|bytes| text::decode(&bytes)).transpose()?;
        Ok(record)
    }

    /// Replaces the record. When this returns `Ok`, it is on disk.
    ///
    /// # Errors
    /// [`JournalError::Io`]: the old record is there still.
    pub fn store(&self, record: &Record) -> Result<(), JournalError> {
        file::replace(&self.directory, NAME, &text::encode(record))
    }

    /// Where the record is kept.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}
