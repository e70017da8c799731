//! What the driver and the flows of one queue share.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

use vpnm_netstack::{FlowId, Ingress, Stack};
use vpnm_wire::Segmentation;

use super::counters::Counters;
use super::share::{Handed, Share};
use crate::device::{Device, MAX_PACKET, Written};

/// One queue: the stack, its device and who waits for what. Never borrowed across a
/// call into a handler or a flow's user.
#[derive(Debug)]
pub(super) struct Net(RefCell<Core>);

#[derive(Debug)]
pub(super) struct Core {
    pub(super) stack: Stack,
    pub(super) device: Device,
    pub(super) readers: Waiting,
    pub(super) writers: Waiting,
    pub(super) receivers: Waiting,
    pub(super) driver: Option<Waker>,
    /// The driver handed packets over and will send acknowledgements when the flows ran.
    pub(super) in_batch: bool,
    pub(super) counters: Arc<Counters>,
    flows: (usize, usize),
    udp_lost: u64,
    share: Option<Share>,
    /// Packets of other queues that are being worked off.
    handed: VecDeque<Handed>,
}

/// Wakers by a flow's slot.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<Option<Waker>>);

impl Net {
    pub(super) fn new(
        stack: Stack,
        device: Device,
        counters: Arc<Counters>,
        share: Option<Share>,
    ) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Core {
            stack,
            device,
            readers: Waiting::default(),
            writers: Waiting::default(),
            receivers: Waiting::default(),
            driver: None,
            in_batch: false,
            counters,
            flows: (0, 0),
            udp_lost: 0,
            share,
            handed: VecDeque::new(),
        })))
    }

    /// Works on the queue's state.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        work(&mut self.0.borrow_mut())
    }

    /// Works on the queue's state on behalf of a flow, which will [`Self::act`] before
    /// it waits for anything.
    pub(super) fn queue<T>(&self, work: impl FnOnce(&mut Stack, Instant) -> T) -> T {
        self.with(|core| work(&mut core.stack, Instant::now()))
    }

    /// Works on the queue's state on behalf of a flow, then sends what became due.
    pub(super) fn act<T>(&self, work: impl FnOnce(&mut Stack, Instant) -> T) -> T {
        self.with(|core| {
            let now = Instant::now();
            let result = work(&mut core.stack, now);
            if !core.in_batch {
                core.stack.release_acks(now);
            }
            core.send(now);
            core.wake_driver();
            result
        })
    }
}

impl Core {
    /// A packet came, from the device or from another queue.
    pub(super) fn handle_packet(&mut self, packet: Ingress, now: Instant) {
        let packet = match &self.share {
            None => Some(packet),
            Some(share) => share.sort(packet, &mut self.stack, now),
        };
        if let Some(packet) = packet {
            self.stack.handle_packet(packet, now);
        }
    }

    /// The next packet that another queue handed over.
    pub(super) fn take_handed(&mut self, cx: &Context<'_>) -> Option<Ingress> {
        self.share.as_ref()?.take(cx, &mut self.handed);
        let handed = self.handed.pop_front()?;
        Some(handed.into_packet(self.stack.pool()))
    }

    /// Writes what the stack wants to send, until the device takes no more.
    pub(super) fn send(&mut self, now: Instant) {
        while !self.device.is_stalled() {
            let Some(packet) = self.stack.poll_transmit(now) else {
                return;
            };
            self.counters.add_down(packet.len());
            let kind = packet.offload().segmentation;
            let oversize = packet.len() > MAX_PACKET;
            match self.device.send(&packet) {
                Written::Taken => {}
                Written::Refused if oversize => self.stack.forgo_oversize(),
                Written::Refused if kind == Segmentation::Udp => {
                    self.stack.forgo_udp_segmentation();
                }
                Written::Refused => {}
            }
        }
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    /// A flow's own call may have set a timer earlier than the one the driver sleeps
    /// for, or made something happen to another flow.
    fn wake_driver(&mut self) {
        if (self.stack.take_timer_moved() || self.stack.has_events())
            && let Some(driver) = &self.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Gives memory back that nobody needs at the moment; whether there was any.
    pub(super) fn trim(&mut self) -> bool {
        for waiting in [&mut self.readers, &mut self.writers, &mut self.receivers] {
            waiting.trim();
        }
        self.stack.pool().trim()
    }

    /// Publishes how many flows there are, and what was lost.
    pub(super) fn count_flows(&mut self) {
        let lost = self.stack.udp_lost();
        if lost != self.udp_lost {
            self.counters.add_udp_lost(lost - self.udp_lost);
            self.udp_lost = lost;
        }
        let now = (self.stack.tcp_flows(), self.stack.udp_flows());
        if now != self.flows {
            self.counters.set_flows(self.flows, now);
            self.flows = now;
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.counters.set_flows(self.flows, (0, 0));
    }
}

impl Waiting {
    /// Remembers who waits for the flow.
    pub(super) fn register(&mut self, id: FlowId, waker: &Waker) {
        if self.0.len() <= id.slot() {
            self.0.resize(id.slot() + 1, None);
        }
        if let Some(place) = self.0.get_mut(id.slot()) {
            match place {
                Some(known) if known.will_wake(waker) => {}
                _ => *place = Some(waker.clone()),
            }
        }
    }

    /// Wakes who waits for the flow.
    pub(super) fn wake(&mut self, id: FlowId) {
        if let Some(waker) = self.0.get_mut(id.slot()).and_then(Option::take) {
            waker.wake();
        }
    }

    /// Forgets the flow, whose slot may be used again.
    pub(super) fn forget(&mut self, id: FlowId) {
        if let Some(place) = self.0.get_mut(id.slot()) {
            *place = None;
        }
    }

    /// Gives the places back that flows needed which are gone.
    fn trim(&mut self) {
        while self.0.pop_if(|place| place.is_none()).is_some() {}
        self.0.shrink_to_fit();
    }
}
