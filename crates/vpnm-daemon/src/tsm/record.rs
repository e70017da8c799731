//! What must survive the daemon.

use vpnm_api::{Goal, ShareLink};

/// What is wanted, as the journal keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Whether a tunnel is wanted.
    pub connect: bool,
    /// Whether the machine stays blocked when no tunnel is wanted.
    pub lockdown: bool,
    /// The server to connect to, kept for the next time while none is wanted.
    pub server: Option<ShareLink>,
}

impl Record {
    /// What the record means for the host.
    #[must_use]
    pub fn goal(&self) -> Goal {
        if self.connect || self.lockdown {
            Goal::Secured
        } else {
            Goal::Open
        }
    }

    /// What holds when the journal cannot be read: the machine was to be secured, the
    /// server is unknown, and it may have been locked down, so that opening it takes
    /// root.
    #[must_use]
    pub fn unreadable() -> Self {
        Self {
            connect: true,
            lockdown: true,
            server: None,
        }
    }
}
