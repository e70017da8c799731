//! What the daemon's heart is asked for, and by whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use vpnm_api::Failure;

use crate::tsm::Command;

/// Messages that may wait in each of the daemon's queues.
pub(crate) const WAITING: usize = 64;

/// What the daemon is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// By a client; the answer goes back.
    Command(Command, oneshot::Sender<Result<(), Failure>>),
    /// By the system: to end.
    Stop,
    /// By the system: to show that it lives.
    Beat(Beat),
}

/// A beat that the heart was asked for.
#[derive(Debug)]
pub(crate) struct Beat(Arc<AtomicBool>);

impl Beat {
    /// One that is noted there when the heart comes to it.
    pub(crate) fn new(beaten: &Arc<AtomicBool>) -> Self {
        Self(Arc::clone(beaten))
    }

    /// The heart has come to it.
    pub(crate) fn come(&self) {
        self.0.store(true, Ordering::Release);
    }
}
