//! How much went through.

use std::sync::atomic::{AtomicU64, Ordering};

/// Running totals of one or more queues; readable from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    tcp_flows: AtomicU64,
    udp_flows: AtomicU64,
}

/// The totals at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes of IP packets read from the device.
    pub up_bytes: u64,
    /// Bytes of IP packets written to the device.
    pub down_bytes: u64,
    /// TCP flows that exist now.
    pub tcp_flows: u64,
    /// UDP flows that exist now.
    pub udp_flows: u64,
}

impl Counters {
    /// The totals now.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals {
            up_bytes: self.up_bytes.load(Ordering::Relaxed),
            down_bytes: self.down_bytes.load(Ordering::Relaxed),
            tcp_flows: self.tcp_flows.load(Ordering::Relaxed),
            udp_flows: self.udp_flows.load(Ordering::Relaxed),
        }
    }

    pub(super) fn add_up(&self, bytes: usize) {
        self.up_bytes.fetch_add(wide(bytes), Ordering::Relaxed);
    }

    pub(super) fn add_down(&self, bytes: usize) {
        self.down_bytes.fetch_add(wide(bytes), Ordering::Relaxed);
    }

    /// A queue's number of flows changed from `before` to `after`.
    pub(super) fn set_flows(&self, before: (usize, usize), after: (usize, usize)) {
        shift(&self.tcp_flows, before.0, after.0);
        shift(&self.udp_flows, before.1, after.1);
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn shift(total: &AtomicU64, before: usize, after: usize) {
    if after >= before {
        total.fetch_add(wide(after - before), Ordering::Relaxed);
    } else {
        total.fetch_sub(wide(before - after), Ordering::Relaxed);
    }
}
