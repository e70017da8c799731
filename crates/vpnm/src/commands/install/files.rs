//! What is installed, and where.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::cli::completions::Shell;
use crate::cli::man;
use crate::cli::spec::Program;

/// The program's place below the root.
pub(super) const BINARY: &str = "usr/bin/vpnm";
/// What the daemon remembers; without it the machine is taken to be secured.
pub(super) const STATE: &str = "var/lib/vpnm";
pub(super) const RUNTIME: &str = "run/vpnm";
pub(super) const SETTINGS: &str = "etc/vpnm";

/// A text that is installed.
#[derive(Debug)]
pub(super) struct Text {
    /// Below the root.
    pub(super) path: &'static str,
    pub(super) content: String,
}

/// Every text of an installation.
pub(super) fn texts(program: &Program) -> Vec<Text> {
    let text = |path, content: &str| Text {
        path,
        content: content.to_owned(),
    };
    let completions = |path, shell: &str| {
        let shell = Shell::named(shell).expect("invariant: the shells are known");
        text(path, &shell.script(program))
    };
    vec![
        text(
            "usr/lib/sysusers.d/vpnm.conf",
            include_str!("../../../../../packaging/sysusers.d/vpnm.conf"),
        ),
        text(
            "usr/lib/systemd/system/vpnmd.service",
            include_str!("../../../../../packaging/systemd/vpnmd.service"),
        ),
        text(
            "usr/lib/systemd/system/vpnmd.socket",
            include_str!("../../../../../packaging/systemd/vpnmd.socket"),
        ),
        text(
            "usr/lib/systemd/system/vpnm-boot.service",
            include_str!("../../../../../packaging/systemd/vpnm-boot.service"),
        ),
        completions("usr/share/bash-completion/completions/vpnm", "bash"),
        completions("usr/share/zsh/vendor-completions/_vpnm", "zsh"),
        completions("usr/share/fish/vendor_completions.d/vpnm.fish", "fish"),
        text(
            "usr/share/man/man1/vpnm.1",
            &man::page(program, env!("CARGO_PKG_VERSION")),
        ),
    ]
}

/// An error, and with what it happened.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}")]
pub(super) struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Puts a file in its place at once, or leaves what is there already; whether it changed.
pub(super) fn put(path: &Path, content: &[u8], mode: u32) -> Result<bool, FileError> {
    if is_in_place(path, content, mode) {
        return Ok(false);
    }
    // The old program may be running: it is replaced, not written to.
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at("remove", &beside)(error));
        }
        _ => {}
    }
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(content)?;
        // Whatever the umask is, and the group of the directory.
        fchown(&file, Some(owner().0), Some(owner().1))?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    };
    write().map_err(at("write", &beside))?;
    fs::rename(&beside, path).map_err(at("replace", path))?;
    Ok(true)
}

/// Whether there is a file of ours with this mode and content. What others own, or
/// could write, is not left in place because it reads the same now.
fn is_in_place(path: &Path, content: &[u8], mode: u32) -> bool {
    let Ok(found) = fs::symlink_metadata(path) else {
        return false;
    };
    let ours = found.is_file() && found.nlink() == 1 && is_owned(&found, mode);
    ours && fs::read(path).is_ok_and(|known| known == content)
}

fn is_owned(found: &Metadata, mode: u32) -> bool {
    (found.uid(), found.gid()) == owner() && found.mode() & 0o7777 == mode
}

/// Whom everything belongs to that is put in place: root, or who builds a package.
fn owner() -> (u32, u32) {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    (uid.as_raw(), gid.as_raw())
}

/// Makes a directory and those above it; whether it was not there.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<bool, FileError> {
    if path.is_dir() {
        return Ok(false);
    }
    let mut builder = DirBuilder::new();
    if let Some(above) = path.parent() {
        builder
            .recursive(true)
            .mode(0o755)
            .create(above)
            .map_err(at("make", above))?;
    }
    let mut builder = DirBuilder::new();
    builder.mode(mode).create(path).map_err(at("make", path))?;
    Ok(true)
}

/// Makes a directory that is ours alone, or takes it back from others; whether
/// anything changed.
///
/// # Errors
/// [`FileError`], also where something that is no directory has its name.
pub(super) fn make_own_directory(path: &Path, mode: u32) -> Result<bool, FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() && is_owned(&found, mode) => return Ok(false),
        Ok(found) if !found.is_dir() => {
            return Err(at("make", path)(io::ErrorKind::NotADirectory.into()));
        }
        Ok(_) => {}
        Err(_) => drop(make_directory(path, mode)?),
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let mut options = OpenOptions::new();
    let directory = options
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .map_err(at("open", path))?;
    fchown(&directory, Some(owner().0), Some(owner().1)).map_err(at("take", path))?;
    let mode = Permissions::from_mode(mode);
    directory.set_permissions(mode).map_err(at("take", path))?;
    Ok(true)
}

/// Removes a file; whether it was there.
pub(super) fn remove(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(at("remove", path)),
    }
}

/// Removes a directory and what is in it; whether it was there.
pub(super) fn remove_directory(path: &Path) -> Result<bool, FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).map_err(at("remove", path)),
    }
}

/// This program, whole.
pub(super) fn this_program() -> Result<Vec<u8>, FileError> {
    let path = Path::new("/proc/self/exe");
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(at("read", path))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_if_it_differs() {
        let directory = std::env::temp_dir().join(format!("vpnm-put-{}", std::process::id()));
        assert!(make_directory(&directory, 0o700).unwrap());
        assert!(!make_directory(&directory, 0o700).unwrap());
        let path = directory.join("file");
        assert!(put(&path, b"one", 0o644).unwrap());
        assert!(!put(&path, b"one", 0o644).unwrap());
        let before = File::open(&path).unwrap();
        assert!(put(&path, b"two", 0o755).unwrap());
        let old: Vec<u8> = io::Read::bytes(before).map(Result::unwrap).collect();
        assert_eq!(old, b"one", "who has it open keeps what it had");
        // Beside it, in its place or under its name: what is not ours is replaced.
        let is_taken_back = |what: &str| {
            assert!(put(&path, b"two", 0o755).unwrap(), "{what}");
            let found = fs::symlink_metadata(&path).unwrap();
            assert!(found.is_file() && is_owned(&found, 0o755), "{what}");
        };
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        is_taken_back("a file that others can write");
        fs::set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
        is_taken_back("a file that lends its owner");
        let elsewhere = directory.join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        is_taken_back("a link to a file with the same content");
        fs::remove_file(&path).unwrap();
        fs::hard_link(&elsewhere, &path).unwrap();
        is_taken_back("a second name of a file of somebody's");
        if rustix::process::geteuid().is_root() {
            for (uid, gid) in [(Some(1000), None), (None, Some(1000))] {
                std::os::unix::fs::chown(&path, uid, gid).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
                is_taken_back("a file of somebody's");
            }
        }
        fs::remove_file(&elsewhere).unwrap();
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
        assert!(remove_directory(&directory).unwrap());
        assert!(!remove_directory(&directory).unwrap());
    }

    #[test]
    fn a_directory_of_others_is_taken_back_and_none_is_made_behind_a_link() {
        let directory = std::env::temp_dir().join(format!("vpnm-own-{}", std::process::id()));
        assert!(make_own_directory(&directory, 0o700).unwrap());
        assert!(!make_own_directory(&directory, 0o700).unwrap());
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&directory, Some(1000), Some(1000)).unwrap();
        }
        assert!(make_own_directory(&directory, 0o700).unwrap());
        assert!(is_owned(&fs::symlink_metadata(&directory).unwrap(), 0o700));
        let link = directory.join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(make_own_directory(&link, 0o700).is_err());
        assert!(remove_directory(&directory).unwrap());
    }
}
