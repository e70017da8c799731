//! Why a daemon cannot run.

use std::io;

/// Why a daemon cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The socket cannot be made.
    #[error("cannot listen on {path}: {reason}")]
    Listen {
        /// Where.
        path: String,
        /// Why.
        reason: String,
        /// The system's error, if it was one.
        #[source]
        source: Option<io::Error>,
    },
    /// A connected descriptor cannot be served.
    #[error("cannot serve the descriptor handed over")]
    Descriptor(#[source] io::Error),
    /// There is nothing to serve on.
    #[error("neither a socket to listen on nor a connection to serve")]
    Nowhere,
}

/// The result of running a daemon.
pub type Result<T, E = DaemonError> = std::result::Result<T, E>;
