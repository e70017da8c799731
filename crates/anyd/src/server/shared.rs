//! What all connections share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::audit::Record;
use super::caller::Caller;
use super::limits::Limits;
use super::policy::Decision;
use super::registry::Registry;
use super::users::Users;
use crate::groups::Groups;
use crate::method::Method;

/// A site's own policy.
pub(super) type Narrow = Box<dyn Fn(&Caller, &Method) -> Decision + Send + Sync>;
/// Where records go.
pub(super) type Sink = Box<dyn Fn(&Record) + Send + Sync>;

pub(super) struct Shared {
    pub(super) registry: Registry,
    pub(super) limits: Limits,
    pub(super) narrow: Option<Narrow>,
    pub(super) sink: Option<Sink>,
    pub(super) groups: Arc<Groups>,
    pub(super) users: Arc<Users>,
    pub(super) pidfds: bool,
    /// Held by a call of an `#[exclusive]` method.
    pub(super) exclusive: Mutex<()>,
    pub(super) calls: AtomicU64,
    pub(super) started: Instant,
}

impl Shared {
    /// The time since the start, by which users are paced.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn next_id(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn record(&self, record: &Record) {
        if let Some(sink) = &self.sink {
            sink(record);
        }
        #[cfg(feature = "tracing")]
        if self.sink.is_none() {
            tracing::info!(target: "anyd::audit", "{record}");
        }
    }
}
