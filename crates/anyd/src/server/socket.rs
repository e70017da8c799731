//! A socket in the file system, made so that nobody can get in between.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

use super::error::{DaemonError, Result};
#[cfg(feature = "python")]
use super::python::Protocol;
use crate::groups::Groups;

/// Where a daemon listens, and who may connect.
#[derive(Clone, Debug)]
pub struct Socket {
    path: PathBuf,
    mode: u32,
    group: Option<String>,
    #[cfg(feature = "python")]
    protocol: Protocol,
}

/// A socket that listens; dropping it removes it.
#[derive(Debug)]
pub(super) struct Bound {
    listener: Option<UnixListener>,
    /// Removed when this is dropped.
    _made: Option<Made>,
}

/// The file that we have made, and the lock that says that it is ours.
#[derive(Debug)]
struct Made {
    path: PathBuf,
    identity: (u64, u64),
    lock_path: PathBuf,
    _lock: OwnedFd,
}

impl Socket {
    /// The socket at this path that the service manager passes, if it passes
    /// one; else one that is made at this absolute path; its directory must belong to root (or to
    /// the daemon's user), and nobody else may write to it. It is made, with
    /// mode 0755, if it is missing.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            mode: 0o600,
            group: None,
            #[cfg(feature = "python")]
            protocol: Protocol::default(),
        }
    }

    /// Who may connect: the file's mode, `0o600` by default. With `0o666`
    /// everybody may, and each method's `#[access(…)]` decides alone.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// The file's group, by name.
    #[must_use]
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// Also serves clients of the Python package `anyd` 0.4 without an authkey:
    /// `ClientSession("/run/d.sock")`. Who may do what is decided as for all
    /// others, by the kernel's word.
    #[cfg(feature = "python")]
    #[must_use]
    pub fn python(mut self) -> Self {
        self.protocol = Protocol::Either;
        self
    }

    /// Serves only clients of the Python package `anyd` 0.4 that know this key:
    /// `ClientSession("/run/d.sock", authkey=b"…")`.
    #[cfg(feature = "python")]
    #[must_use]
    pub fn python_authkey(mut self, key: &[u8]) -> Self {
        self.protocol = Protocol::Challenged(key.into());
        self
    }

    #[cfg(feature = "python")]
    pub(super) fn protocol(&self) -> Protocol {
        self.protocol.clone()
    }

    pub(super) fn bind(self, groups: &Groups) -> Result<Bound> {
        #[cfg(feature = "systemd")]
        if let Some(listener) = crate::systemd::take_listener(&self.path) {
            // The service manager has made it, and removes it.
            return Ok(Bound {
                listener: Some(listener),
                _made: None,
            });
        }
        let listening = self.make(groups).map_err(|source| DaemonError::Listen {
            path: self.path.display().to_string(),
            reason: source.to_string(),
            source: Some(source),
        })?;
        Ok(listening)
    }

    fn make(&self, groups: &Groups) -> io::Result<Bound> {
        let (directory, name) = split(&self.path)?;
        let gid = self
            .group
            .as_deref()
            .map(|name| gid(groups, name))
            .transpose()?;
        make_directory(directory)?;
        // From here on by its real name: a link on the way may be changed.
        let directory = &checked_directory(directory)?;
        let path = directory.join(name);
        let lock_path = directory.join(format!("{name}.lock"));
        let lock = lock(&lock_path)?;
        let (listener, identity) = self.make_listener(&path, name, gid)?;
        Ok(Bound {
            listener: Some(listener),
            _made: Some(Made {
                path,
                identity,
                lock_path,
                _lock: lock,
            }),
        })
    }

    /// Binds in a directory of our own, where the mode and the group are set
    /// before anybody can see the socket; then moves it to its place, over
    /// whatever is there: a link is replaced, not followed.
    fn make_listener(
        &self,
        path: &Path,
        name: &str,
        gid: Option<u32>,
    ) -> io::Result<(UnixListener, (u64, u64))> {
        let cradle = path.with_file_name(format!(".{name}"));
        // What a crashed daemon has left; the lock is ours.
        let _absent = fs::remove_dir_all(&cradle);
        DirBuilder::new().mode(0o700).create(&cradle)?;
        let made = self.make_in(&cradle, path, gid);
        let _moved = fs::remove_dir_all(&cradle);
        made
    }

    fn make_in(
        &self,
        cradle: &Path,
        path: &Path,
        gid: Option<u32>,
    ) -> io::Result<(UnixListener, (u64, u64))> {
        let place = cradle.join("s");
        let listener = UnixListener::bind(&place)?;
        if gid.is_some() {
            chown(&place, None, gid)?;
        }
        fs::set_permissions(&place, Permissions::from_mode(self.mode))?;
        listener.set_nonblocking(true)?;
        let made = fs::symlink_metadata(&place)?;
        fs::rename(&place, path)?;
        Ok((listener, (made.dev(), made.ino())))
    }
}

fn split(path: &Path) -> io::Result<(&Path, &str)> {
    let parts = path
        .parent()
        .zip(path.file_name().and_then(|name| name.to_str()));
    match parts {
        Some((directory, name)) if path.is_absolute() => Ok((directory, name)),
        _ => Err(refusal("not an absolute path of a file".to_owned())),
    }
}

fn gid(groups: &Groups, name: &str) -> io::Result<u32> {
    groups
        .gid(name)
        .ok_or_else(|| refusal(format!("there is no group {name}")))
}

fn make_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// The directory's real name. Refuses one in which others could put something
/// in our place, and one that others could exchange for another.
fn checked_directory(directory: &Path) -> io::Result<PathBuf> {
    let real = fs::canonicalize(directory)?;
    let user = rustix::process::geteuid().as_raw();
    for (depth, ancestor) in real.ancestors().enumerate() {
        let found = fs::symlink_metadata(ancestor)?;
        let shown = ancestor.display();
        if found.uid() != 0 && found.uid() != user {
            return Err(refusal(format!("{shown} belongs to uid {}", found.uid())));
        }
        // In a sticky directory such as /tmp others cannot move what is ours.
        let sticky = depth > 0 && found.mode() & 0o1000 != 0;
        if found.mode() & 0o022 != 0 && !sticky {
            return Err(refusal(format!("others may write to {shown}")));
        }
    }
    Ok(real)
}

fn refusal(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// Takes the lock that makes this daemon the only one. The file goes when the
/// daemon does, so the lock must be of the file that has the name.
fn lock(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDWR;
    loop {
        let file = open(path, flags, Mode::RUSR | Mode::WUSR)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let reason = "another daemon serves this socket";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
            }
            locked => locked?,
        }
        let file = File::from(file);
        let mine = file.metadata()?;
        let named = fs::symlink_metadata(path);
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (mine.dev(), mine.ino())) {
            return Ok(file.into());
        }
    }
}

impl Bound {
    /// The listener, which is there once.
    pub(super) fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }
}

impl Drop for Made {
    /// Removes the socket if it is still the one that we have made.
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _gone = fs::remove_file(&self.path);
        }
        let _gone = fs::remove_file(&self.lock_path);
    }
}
