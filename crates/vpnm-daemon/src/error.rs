//! Why the daemon ends before its time.

use std::io;

use vpnm_api::Failure;
use vpnm_host::HostError;

use crate::lock::LockError;

/// Why the daemon ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Only root can change the network.
    #[error("the daemon must be started by root")]
    NotRoot,
    /// Another daemon is running, or the lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel cannot be used.
    #[error("the kernel's network cannot be used")]
    Host(#[from] HostError),
    /// The machine is to be secured and could not be blocked.
    #[error("THIS MACHINE IS NOT PROTECTED: {0}")]
    Unprotected(Failure),
    /// A thread, an event loop or a notification could not be had.
    #[error("cannot {action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Clients cannot be served.
    #[error("cannot serve clients")]
    Service(#[from] anyd::DaemonError),
}
