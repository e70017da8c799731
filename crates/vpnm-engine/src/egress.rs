//! The way out that flows use now, and how they learn that it is no longer theirs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use vpnm_proxy::{DialError, Outbound};

/// Holds the outbound in use. Setting another ends every flow of the one before: its
/// server is no longer let through by the packet filter.
#[derive(Debug, Default)]
pub struct Egress {
    current: RefCell<Option<Lease>>,
    trouble: Notify,
}

/// One flow's claim on an outbound.
#[derive(Debug, Clone)]
pub struct Lease {
    outbound: Outbound,
    epoch: Rc<Epoch>,
}

/// The time in which one outbound is in use.
#[derive(Debug, Default)]
struct Epoch {
    over: Cell<bool>,
    ended: Notify,
}

impl Egress {
    /// Puts an outbound to use; flows of the one before are reset.
    pub fn set(&self, outbound: Outbound) {
        let lease = Lease {
            outbound,
            epoch: Rc::default(),
        };
        end(self.current.replace(Some(lease)));
    }

    /// Leaves no way out; flows are reset and new ones refused.
    pub fn clear(&self) {
        end(self.current.replace(None));
    }

    /// The outbound to use for a new flow.
    #[must_use]
    pub fn lease(&self) -> Option<Lease> {
        self.current.borrow().clone()
    }

    /// Waits until a flow could not be opened.
    ///
    /// One failure says little, since the far side may be to blame; it is a reason to
    /// check the tunnel before the next query does.
    pub async fn trouble(&self) {
        self.trouble.notified().await;
    }

    pub(crate) fn report(&self, failed: &DialError) {
        tracing::debug!(error = %failed, "a flow could not be opened through the server");
        self.trouble.notify_one();
    }
}

impl Lease {
    /// The outbound.
    #[must_use]
    pub fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// Waits until another outbound, or none, is in use.
    pub async fn ended(&self) {
        let mut ended = std::pin::pin!(self.epoch.ended.notified());
        ended.as_mut().enable();
        if !self.epoch.over.get() {
            ended.await;
        }
    }
}

fn end(lease: Option<Lease>) {
    if let Some(lease) = lease {
        lease.epoch.over.set(true);
        lease.epoch.ended.notify_waiters();
    }
}
