//! Whether the client is still there.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Set once, when the client has gone.
#[derive(Debug, Default)]
pub(super) struct Hangup {
    gone: AtomicBool,
    changed: Notify,
}

impl Hangup {
    pub(super) fn set(&self) {
        self.gone.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    pub(super) fn is_set(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) async fn wait(&self) {
        let changed = self.changed.notified();
        tokio::pin!(changed);
        // Listens before it looks, so that nothing falls between.
        changed.as_mut().enable();
        if !self.is_set() {
            changed.await;
        }
    }
}
