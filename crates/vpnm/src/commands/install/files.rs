//! What is installed, and where.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

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

/// Puts a file in its place at once, or leaves what is there; whether it changed.
pub(super) fn put(path: &Path, content: &[u8], mode: u32) -> Result<bool, FileError> {
    if fs::read(path).is_ok_and(|known| known == content) {
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
        // Whatever the umask is.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.sync_all()
    };
    write().map_err(at("write", &beside))?;
    fs::rename(&beside, path).map_err(at("replace", path))?;
    Ok(true)
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
        assert!(remove(&path).unwrap() && !remove(&path).unwrap());
        assert!(remove_directory(&directory).unwrap());
        assert!(!remove_directory(&directory).unwrap());
    }
}
