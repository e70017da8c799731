//! Who calls what.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::hangup::Hangup;
use crate::groups::Groups;
use crate::method::Method;
use crate::peer::Peer;

/// The caller of a method, as the kernel knows it, available where the action
/// happens.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) peer: Arc<Peer>,
    pub(super) groups: Arc<Groups>,
    pub(super) hangup: Arc<Hangup>,
    pub(super) method: &'static Method,
    pub(super) id: u64,
}

impl Caller {
    /// Everything known about the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.peer.uid
    }

    /// The primary group id.
    #[must_use]
    pub fn gid(&self) -> u32 {
        self.peer.gid
    }

    /// The supplementary groups.
    #[must_use]
    pub fn groups(&self) -> &[u32] {
        &self.peer.groups
    }

    /// The process id, for people to read; 0 if it is not ours to see. Never
    /// decide by it: ids are reused.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.peer.pid
    }

    /// The process, if the daemon was told to ask for it.
    #[must_use]
    pub fn pidfd(&self) -> Option<&OwnedFd> {
        self.peer.pidfd.as_deref()
    }

    /// The security label, where there is one.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.peer.label.as_deref()
    }

    /// The call's number, which its audit record and its errors carry.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The method called.
    #[must_use]
    pub fn method(&self) -> &'static Method {
        self.method
    }

    /// Whether the caller is root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.peer.is_root()
    }

    /// Whether the caller comes from another user or pid namespace.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.peer.is_foreign()
    }

    /// Whether the caller is in the group with this name.
    #[must_use]
    pub fn in_group(&self, name: &str) -> bool {
        !self.is_foreign()
            && self
                .groups
                .gid(name)
                .is_some_and(|gid| self.peer.has_gid(gid))
    }

    /// Waits until the client has gone. A call is carried on without its
    /// client, since half of a change is worse than a late one: a handler that
    /// had rather stop asks here.
    pub async fn cancelled(&self) {
        self.hangup.wait().await;
    }

    /// Whether the client has gone.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.hangup.is_set()
    }
}
