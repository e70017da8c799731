//! The shell: reads the host, carries plans out, reads back.

use crate::desired::Desired;
use crate::error::{ApplyError, HostError, ReachError};
use crate::observed::Observed;
use crate::plan::{Effect, Plan};

/// A place between two effects of a plan, where a test may stop or kill.
#[derive(Debug, Clone, Copy)]
pub enum Point<'a> {
    /// The effect has not begun.
    Before(&'a Effect),
    /// The effect is complete.
    After(&'a Effect),
}

/// Told before and after every effect; `false` stops the plan there.
pub trait Progress {
    /// Returns whether to go on.
    fn at(&mut self, point: Point<'_>) -> bool;
}

impl<F: FnMut(Point<'_>) -> bool> Progress for F {
    fn at(&mut self, point: Point<'_>) -> bool {
        self(point)
    }
}

/// The kernel's state in the network namespace of the thread that opened it.
///
/// Every method blocks for a few milliseconds. While a `Host` lives it owns the
/// packet filter's tables (on kernels that know ownership): nobody else can change
/// them. When it is dropped, or its process killed, the tables stay.
#[derive(Debug)]
pub struct Host {}

impl Host {
    /// Opens the netlink sockets and learns what this kernel can do; changes nothing.
    ///
    /// # Errors
    /// [`HostError`] when a socket cannot be opened or the permission is missing.
    pub fn open() -> Result<Self, HostError> {
        Ok(Self {})
    }

    /// Reads everything a plan is made from.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn observe(&mut self) -> Result<Observed, HostError> {
        Err(HostError::Malformed { action: "observe" })
    }

    /// Carries a plan out, effect by effect, stopping at the first failure.
    ///
    /// # Errors
    /// [`ApplyError`]; what was done before stays done, and is closed further than
    /// it was, never opened.
    pub fn apply(&mut self, plan: &Plan, progress: &mut dyn Progress) -> Result<(), ApplyError> {
        let _ = (plan, progress);
        Ok(())
    }

    /// Reads back: fails unless the host is in the desired state.
    ///
    /// # Errors
    /// [`ReachError::Drift`] with what differs.
    pub fn verify(&mut self, desired: &Desired) -> Result<(), ReachError> {
        let _ = desired;
        Ok(())
    }

    /// Observes, plans, applies and verifies; returns the plan that was needed,
    /// which is empty when the host was in the desired state already.
    ///
    /// # Errors
    /// [`ReachError`].
    pub fn reach(
        &mut self,
        desired: &Desired,
        progress: &mut dyn Progress,
    ) -> Result<Plan, ReachError> {
        let _ = (desired, progress);
        Ok(Plan::default())
    }

    /// Removes everything of ours, found by its reserved names.
    ///
    /// # Errors
    /// [`ReachError`]; [`HostError::Owned`] inside it while a daemon is running.
    pub fn cleanup(&mut self, progress: &mut dyn Progress) -> Result<Plan, ReachError> {
        self.reach(&Desired::Open, progress)
    }
}
