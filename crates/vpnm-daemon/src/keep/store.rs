//! The service manager's store of descriptors, and whether it keeps any.
//!
//! It may have been told to keep none (`FileDescriptorStoreMax=0`), or be full, and says
//! so to nobody. What it closes can be seen from the other end.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyd::systemd;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What is given to it to see whether it is kept.
const TRIAL: &str = "trial";

/// Whether a service manager says that it keeps descriptors for us. Others that only
/// listen to notifications (containers' managers) keep none.
pub(super) fn is_offered() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some() && Path::new("/run/systemd/system").is_dir()
}

/// Has it keep nothing of this name, nor what was given with it.
pub(super) fn forget(name: &str) -> io::Result<bool> {
    systemd::remove_fd(TRIAL)?;
    systemd::remove_fd(name)
}

/// Something given to the store of which it is not known whether it is kept.
#[derive(Debug)]
pub(super) struct Given {
    name: &'static str,
    /// Its other end is closed when it is not kept.
    trial: UnixStream,
    /// Its other end is closed when all has been heard.
    heard: UnixStream,
}

impl Given {
    /// Gives it a descriptor. It would keep another one of the same name beside the first.
    pub(super) fn new(name: &'static str, fd: BorrowedFd<'_>) -> io::Result<Self> {
        let (trial, theirs) = UnixStream::pair()?;
        let (heard, barrier) = UnixStream::pair()?;
        for (name, fd) in [(name, fd), (TRIAL, theirs.as_fd())] {
            systemd::remove_fd(name)?;
            systemd::store_fd(name, fd)?;
        }
        systemd::barrier(&barrier)?;
        Ok(Self { name, trial, heard })
    }

    /// Whether it is kept, if that turns out within this time. What is not kept is taken
    /// back, and so is the trial.
    pub(super) fn is_kept(&self, patience: Duration) -> Option<bool> {
        if !is_closed(&self.heard, patience) {
            return None;
        }
        let is_kept = !is_closed(&self.trial, Duration::ZERO);
        super::report(if is_kept {
            systemd::remove_fd(TRIAL)
        } else {
            forget(self.name)
        });
        Some(is_kept)
    }
}

/// Whether the other end is closed, or is within this time.
fn is_closed(end: &UnixStream, patience: Duration) -> bool {
    let patience = Timespec::try_from(patience).ok();
    let mut closed = [PollFd::new(end, PollFlags::IN)];
    poll(&mut closed, patience.as_ref()).is_ok_and(|count| count > 0)
}
