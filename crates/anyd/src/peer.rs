//! Who is at the other end of a connection.

use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The uid that stands for users of another user namespace
/// (`/proc/sys/kernel/overflowuid` unless changed), also called nobody.
pub const OVERFLOW_UID: u32 = 65534;

/// The identity of a peer, as the kernel recorded it when the connection was
/// made (`SO_PEERCRED`, `SO_PEERGROUPS`): a process that connects as root and
/// then drops its rights, or hands the connection on, stays root here.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Box<[u32]>,
    /// Process id; 0 when the process is outside of our pid namespace. Never
    /// decide by it: ids are reused.
    pub pid: u32,
    /// The security label (`SO_PEERSEC`), where a security module sets one.
    pub label: Option<String>,
    /// The process itself (`SO_PEERPIDFD`), when the daemon asks for it.
    pub pidfd: Option<Arc<OwnedFd>>,
}

impl Peer {
    /// A peer with this user and group id, no further group, and our own pid.
    #[must_use]
    pub fn uid(uid: u32) -> Self {
        Self {
            uid,
            gid: uid,
            groups: Box::default(),
            pid: std::process::id(),
            label: None,
            pidfd: None,
        }
    }

    /// The same peer with these supplementary groups.
    #[must_use]
    pub fn groups(mut self, groups: impl IntoIterator<Item = u32>) -> Self {
        self.groups = groups.into_iter().collect();
        self
    }

    /// The same peer with this process id.
    #[must_use]
    pub fn pid(mut self, pid: u32) -> Self {
        self.pid = pid;
        self
    }

    /// Whether the peer comes from another user or pid namespace: its ids
    /// then mean nothing here, and it meets no rule but `anyone`.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.pid == 0 || self.uid == OVERFLOW_UID
    }

    /// Whether the peer is uid 0 of our own namespace.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0 && !self.is_foreign()
    }

    /// Whether the group is the primary one or among the supplementary ones.
    #[must_use]
    pub fn has_gid(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}
