//! The users of a host.

use std::io;

use crate::sys::{self, Credentials};

/// Who runs a command inside the world; the ids of the world's `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// root, with every capability over the world.
    Root,
    /// An ordinary user in group `vpnm` (uid 1000).
    Alice,
    /// An ordinary user in no group (uid 1001).
    Mallory,
    /// The engine's user `_vpnm` (uid 7670).
    Engine,
}

impl User {
    /// The user's number.
    #[must_use]
    pub fn uid(self) -> u32 {
        self.credentials().uid
    }

    /// Makes the calling thread, and only it, this user's. There is no way back.
    pub(crate) fn become_on_this_thread(self) -> io::Result<()> {
        sys::become_user(self.credentials())
    }

    pub(crate) fn credentials(self) -> Credentials {
        let (uid, group) = match self {
            Self::Root => (0, None),
            Self::Alice => (1000, Some(7671)),
            Self::Mallory => (1001, None),
            Self::Engine => (7670, None),
        };
        Credentials {
            uid,
            gid: uid,
            group,
        }
    }
}
