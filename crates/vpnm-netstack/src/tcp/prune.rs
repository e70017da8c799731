//! Memory for what is in order, taken from what is not (as Linux's pruning of its queue
//! beyond holes, but over all connections).
//!
//! What was received beyond a hole is of no use to anybody until the hole is filled, and
//! whoever never fills it would keep the memory of all for itself.

use vpnm_wire::BufferPool;

use super::Tcp;

/// Flows of the past that may be remembered beside twice those that exist.
const STALE: usize = 64;

impl Tcp {
    /// Frees a part of the memory where all of it is used: the furthest piece of each flow
    /// in turn.
    pub(super) fn prune(&mut self, pool: &BufferPool) {
        if pool.bytes_out() <= self.config.memory {
            self.forget_stale();
            return;
        }
        let enough = self.config.memory / 16 * 15;
        while pool.bytes_out() > enough
            && let Some(id) = self.holed.pop_front()
        {
            let Some(flow) = self.flows.get_mut(id) else {
                continue;
            };
            flow.in_holed = flow.receiver.prune() && flow.receiver.has_holes();
            if flow.in_holed {
                self.holed.push_back(id);
            }
        }
    }

    /// How many flows are remembered to have received something beyond a hole.
    #[cfg(test)]
    pub(crate) fn remembered_holes(&self) -> usize {
        self.holed.len()
    }

    fn forget_stale(&mut self) {
        if self.holed.len() <= 2 * self.flows.len() + STALE {
            return;
        }
        let flows = &mut self.flows;
        self.holed.retain(|id| {
            flows.get_mut(*id).is_some_and(|flow| {
                flow.in_holed = flow.receiver.has_holes();
                flow.in_holed
            })
        });
        self.holed.shrink_to_fit();
    }
}
