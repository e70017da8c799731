//! Removing everything, without any memory of what was done.

use std::io;
use std::path::Path;
use std::sync::Arc;

use vpnm_host::{HostError, Point, ReachError};

use crate::engine::Identity;
use crate::failpoint::FailPoints;
use crate::journal::{Journal, JournalError};
use crate::keep::FilterKeep;
use crate::lock::{Lock, LockError};
use crate::options::Options;
use crate::tsm::Record;

/// Why not everything was removed.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// Only root can change the network.
    #[error("only root can clean up")]
    NotRoot,
    /// A daemon is running; stop it first.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel cannot be used.
    #[error("the kernel's network cannot be used")]
    Host(#[from] HostError),
    /// The kernel did not let something go.
    #[error("not everything could be removed")]
    Reach(#[from] ReachError),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Opens the machine and removes everything vpnm put on it, found by its reserved
/// names: filter tables, rules, routes, interface, what the journal says. Settings stay.
/// Returns what was removed, a line for each.
///
/// # Errors
/// [`CleanupError`]; a running daemon is a [`LockError::Held`] that names it.
pub fn cleanup(options: &Options) -> Result<Vec<String>, CleanupError> {
    if !rustix::process::geteuid().is_root() {
        return Err(CleanupError::NotRoot);
    }
    let lock = Lock::take(&options.runtime)?;
    let points = Arc::new(FailPoints::new(None));
    let mut kept = FilterKeep::new(&options.runtime, Identity::of_system(), false, points);
    let plan = kept.open_host()?.cleanup(&mut |_: Point<'_>| true)?;
    let mut removed: Vec<String> = plan.effects().iter().map(ToString::to_string).collect();
    removed.extend(kept.release());
    removed.extend(forget(options)?);
    let socket = options.runtime.join("vpnmd.sock");
    if std::fs::remove_file(&socket).is_ok() {
        removed.push(format!("- {}", socket.display()));
    }
    lock.remove();
    remove_if_empty(&options.runtime);
    Ok(removed)
}

/// Has the journal say that nothing is wanted. It stays: a machine without one is
/// taken to be secured when it starts.
fn forget(options: &Options) -> Result<Option<String>, JournalError> {
    let (journal, open) = (Journal::at(&options.journal), Record::default());
    let said = journal.load();
    if !options.journal.is_dir() || said.is_ok_and(|said| said.as_ref() == Some(&open)) {
        return Ok(None);
    }
    journal.store(&open)?;
    Ok(Some(format!(
        "~ journal in {}: open",
        journal.directory().display()
    )))
}

/// A directory with something in it is somebody's, and one that is gone is as wanted.
fn remove_if_empty(directory: &Path) {
    let removed: io::Result<()> = std::fs::remove_dir(directory);
    if let Err(error) = removed {
        tracing::debug!(%error, directory = %directory.display(), "not removed");
    }
}
