//! A file that is replaced as a whole, or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::JournalError;

/// Reads a file that only root can write; `None` if there is none.
pub(super) fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, JournalError> {
    let fail = |action| move |source| io_error(action, path, source);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(fail("open"))?,
    };
    let found = file.metadata().map_err(fail("look at"))?;
    let mine = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_file() || !mine || found.mode() & 0o022 != 0 {
        let path = path.to_owned();
        return Err(JournalError::Unsafe { path });
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(fail("read"))?;
    Ok(Some(bytes))
}

/// Replaces a file; when this returns, the new one is on disk.
pub(super) fn replace(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), JournalError> {
    let fail = |action| move |source| io_error(action, directory, source);
    make_directory(directory).map_err(fail("make"))?;
    let beside = directory.join(format!("{name}.new"));
    write(&beside, bytes).map_err(|source| io_error("write", &beside, source))?;
    let path = directory.join(name);
    std::fs::rename(&beside, &path).map_err(|source| io_error("replace", &path, source))?;
    sync(directory).map_err(fail("sync"))
}

fn make_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> JournalError {
    JournalError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("vpnm-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        path
    }

    #[test]
    fn what_was_replaced_is_read_back_and_only_the_owner_may() {
        let directory = scratch("replace");
        assert_eq!(read(&directory.join("j"), 10).unwrap(), None);
        replace(&directory, "j", b"one").unwrap();
        replace(&directory, "j", b"two").unwrap();
        assert_eq!(read(&directory.join("j"), 10).unwrap().unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&directory.join("j")), 0o600);
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(
            std::fs::read_dir(&directory).unwrap().count(),
            1,
            "nothing is left beside"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_that_others_can_write_is_not_read() {
        let directory = scratch("unsafe");
        replace(&directory, "j", b"one").unwrap();
        let path = directory.join("j");
        std::fs::set_permissions(&path, Permissions::from_mode(0o620)).unwrap();
        assert!(matches!(read(&path, 10), Err(JournalError::Unsafe { .. })));
        let link = directory.join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 10), Err(JournalError::Io { .. })));
        assert!(matches!(
            read(&directory, 10),
            Err(JournalError::Unsafe { .. })
        ));
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_planted_link_beside_is_replaced_and_its_target_untouched() {
        let directory = scratch("planted");
        make_directory(&directory).unwrap();
        let victim = directory.join("victim");
        std::fs::write(&victim, "untouched").unwrap();
        symlink(&victim, directory.join("j.new")).unwrap();
        replace(&directory, "j", b"record").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
