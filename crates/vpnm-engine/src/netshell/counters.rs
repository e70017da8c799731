//! How much went through.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Running totals of one or more queues; readable from any thread.
#[derive(Debug, Default)]
pub struct Counters {
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
    tcp_flows: AtomicU64,
    udp_flows: AtomicU64,
    udp_lost: AtomicU64,
    /// Somebody waits for them to change.
    awaited: AtomicBool,
    news: Notify,
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
    /// Packets of datagrams that were lost because those before were not taken in time.
    pub udp_lost: u64,
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
            udp_lost: self.udp_lost.load(Ordering::Relaxed),
        }
    }

    /// Waits until the totals are others than these. While nothing passes, nothing is
    /// done: an engine without work is not woken to find out that it has none.
    ///
    /// On another thread than the queues' a change may be seen with the one after it.
    pub async fn differ(&self, from: Totals) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            self.awaited.store(true, Ordering::SeqCst);
            if self.totals() != from {
                return;
            }
            news.await;
        }
    }

    pub(super) fn add_up(&self, bytes: usize) {
        self.up_bytes.fetch_add(wide(bytes), Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn add_down(&self, bytes: usize) {
        self.down_bytes.fetch_add(wide(bytes), Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn add_udp_lost(&self, packets: u64) {
        self.udp_lost.fetch_add(packets, Ordering::Relaxed);
        self.tell();
    }

    /// Two instructions per call unless somebody waits, which happens once a second.
    fn tell(&self) {
        if self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::AcqRel) {
            self.news.notify_waiters();
        }
    }

    /// A queue's number of flows changed from `before` to `after`.
    pub(super) fn set_flows(&self, before: (usize, usize), after: (usize, usize)) {
        shift(&self.tcp_flows, before.0, after.0);
        shift(&self.udp_flows, before.1, after.1);
        self.tell();
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_is_woken_by_a_change_and_by_nothing_else() {
        let counters = Counters::default();
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let before = counters.totals();
        let mut waits = pin!(counters.differ(before));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        assert!(!woken.0.load(Ordering::Relaxed));
        counters.add_up(40);
        assert!(woken.0.load(Ordering::Relaxed));
        assert!(waits.as_mut().poll(&mut context).is_ready());
        let late = pin!(counters.differ(before));
        assert!(late.poll(&mut context).is_ready(), "it has changed already");
    }
}
