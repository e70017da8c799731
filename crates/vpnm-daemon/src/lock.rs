//! One daemon at a time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags};

/// Where the lock and the socket are.
pub(crate) const DIRECTORY: &str = "/run/vpnm";

const NAME: &str = "vpnmd.lock";

/// Held by the daemon as long as it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why the lock was not got.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon holds it.
    #[error("another daemon is running{}", pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Held {
        /// Its process, if it could be read.
        pid: Option<u32>,
    },
    /// The system refused.
    #[error("cannot lock {path}")]
    Io {
        /// The lock.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock in a directory, which is made if there is none.
    pub(crate) fn take(directory: &Path) -> Result<Self, LockError> {
        let path = directory.join(NAME);
        let fail = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        make_directory(directory).map_err(fail)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(fail)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = read_pid(&mut file);
                return Err(LockError::Held { pid });
            }
            locked => locked.map_err(|errno| fail(errno.into()))?,
        }
        write_pid(&mut file).map_err(fail)?;
        Ok(Self { path, _file: file })
    }

    /// Gives the lock up and removes its file.
    pub(crate) fn remove(self) {
        // What is left of it harms nobody: the next daemon takes it.
        let _left = std::fs::remove_file(&self.path);
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let directory = std::env::temp_dir().join(format!("vpnm-lock-{}", std::process::id()));
        let first = Lock::take(&directory).unwrap();
        let error = Lock::take(&directory).unwrap_err();
        assert!(matches!(error, LockError::Held { pid } if pid == Some(std::process::id())));
        drop(first);
        Lock::take(&directory).unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }
}
