//! Several queues of one device, each with a thread and a stack of its own.
//!
//! A flow belongs to one of them, which its packets alone tell ([`Affinity`]). A packet
//! that arrives at another queue is handed to its own, which answers on its queue; where
//! the kernel spreads packets by itself, it learns from that to deliver the next ones
//! there. Nothing else passes between the threads.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Instant;

use vpnm_netstack::{Ingress, Stack};
use vpnm_wire::{Affinity, BufferPool, VnetHeader};

/// Most packets that wait for one queue, and most bytes; it may be working on as many.
const PACKETS: usize = 1_024;
const BYTES: usize = 2 << 20;

/// One of several queues that share a device; the others are at hand.
#[derive(Debug, Clone)]
pub struct Share {
    own: u32,
    count: NonZeroU32,
    /// One for each queue.
    inboxes: Arc<[Inbox]>,
}

/// Packets that other queues handed over.
#[derive(Debug, Default)]
struct Inbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    packets: VecDeque<Handed>,
    bytes: usize,
    lost: u64,
    /// Who takes them, unless it knows already that there are some.
    owner: Option<Waker>,
}

/// A packet on its way from one thread to another.
#[derive(Debug)]
pub(super) struct Handed {
    offload: VnetHeader,
    content: Box<[u8]>,
}

impl Share {
    /// The shares of all queues of a device, in the order in which they were attached.
    #[must_use]
    pub fn among(queues: NonZeroU32) -> Vec<Self> {
        let inboxes: Arc<[Inbox]> = (0..queues.get()).map(|_| Inbox::default()).collect();
        let share = |own| Self {
            own,
            count: queues,
            inboxes: Arc::clone(&inboxes),
        };
        (0..queues.get()).map(share).collect()
    }

    /// How many queues share the device.
    #[must_use]
    pub fn count(&self) -> NonZeroU32 {
        self.count
    }

    /// The packet, if this queue's stack is to see it; otherwise it is handed to the
    /// queue that it belongs to. Parts are joined by one queue, and the whole handed on.
    pub(super) fn sort(&self, packet: Ingress, stack: &mut Stack, now: Instant) -> Option<Ingress> {
        match Affinity::of(packet.content()) {
            Some(affinity) if affinity.queue(self.count) != self.own => {
                self.hand_over(affinity, &packet);
                None
            }
            Some(Affinity::Part(_)) => {
                let whole = stack.reassemble(packet, now)?;
                match Affinity::of(whole.content()) {
                    // No whole is a part of another.
                    Some(Affinity::Part(_)) => None,
                    Some(affinity) if affinity.queue(self.count) != self.own => {
                        self.hand_over(affinity, &whole);
                        None
                    }
                    // Whoever sees what no queue owns tells its sender.
                    Some(Affinity::Whole(_)) | None => Some(whole),
                }
            }
            Some(Affinity::Whole(_)) | None => Some(packet),
        }
    }

    fn hand_over(&self, affinity: Affinity, packet: &Ingress) {
        let queue = usize::try_from(affinity.queue(self.count)).unwrap_or(usize::MAX);
        if let Some(inbox) = self.inboxes.get(queue) {
            inbox.put(packet);
        }
    }

    /// Moves what waits for this queue behind what is `taken` already; whoever polls is
    /// woken when more comes.
    pub(super) fn take(&self, cx: &Context<'_>, taken: &mut VecDeque<Handed>) {
        let own = usize::try_from(self.own).unwrap_or(usize::MAX);
        if let Some(inbox) = self.inboxes.get(own)
            && taken.is_empty()
        {
            inbox.take(cx, taken);
        }
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, packet: &Ingress) {
        let owner = {
            let mut waiting = self.lock();
            let bytes = waiting.bytes + packet.len();
            if waiting.packets.len() >= PACKETS || bytes > BYTES {
                waiting.lost += 1;
                if waiting.lost.is_power_of_two() {
                    tracing::warn!(lost = waiting.lost, "a queue lets others wait in vain");
                }
                return;
            }
            waiting.bytes = bytes;
            waiting.packets.push_back(Handed {
                offload: packet.offload(),
                content: packet.content().into(),
            });
            waiting.owner.take()
        };
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    fn take(&self, cx: &Context<'_>, taken: &mut VecDeque<Handed>) {
        let mut waiting = self.lock();
        match &waiting.owner {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => waiting.owner = Some(cx.waker().clone()),
        }
        std::mem::swap(&mut waiting.packets, taken);
        waiting.bytes = 0;
    }
}

impl Handed {
    /// The packet, in a buffer of the taker's.
    pub(super) fn into_packet(self, pool: &BufferPool) -> Ingress {
        Ingress::offloaded(pool.copy(&self.content), self.offload)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use vpnm_netstack::Config;
    use vpnm_wire::{Fragment, Head, IpBuilder, protocol};

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn packet(protocol: u8, fragment: Option<Fragment>, payload: &[u8]) -> Vec<u8> {
        let builder = IpBuilder {
            source: [10, 0, 0, 2].into(),
            destination: [192, 0, 2, 1].into(),
            protocol,
            payload_len: payload.len(),
            fragment,
        };
        let mut head = Head::new();
        assert!(builder.encode(&mut head));
        [head.bytes(), payload].concat()
    }

    fn datagram(port: u16, fragment: Option<Fragment>, content: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        if fragment.is_none_or(|part| part.offset == 0) {
            payload.extend(port.to_be_bytes());
            payload.extend([0, 80, 0, 24, 0, 0]);
        }
        payload.extend(content);
        packet(protocol::UDP, fragment, &payload)
    }

    struct Queue {
        share: Share,
        stack: Stack,
        taken: VecDeque<Handed>,
    }

    fn queues(count: u32) -> Vec<Queue> {
        let shares = Share::among(NonZeroU32::new(count).unwrap());
        let queue = |share| Queue {
            share,
            stack: Stack::new(&Config::new(1_500, [0; 32])),
            taken: VecDeque::new(),
        };
        shares.into_iter().map(queue).collect()
    }

    impl Queue {
        /// Packets of all queues that were lost.
        fn lost(&self) -> u64 {
            self.share
                .inboxes
                .iter()
                .map(|inbox| inbox.lock().lost)
                .sum()
        }

        /// Whether the packet stays.
        fn sort(&mut self, packet: &[u8]) -> bool {
            let packet = Ingress::plain(self.stack.pool().copy(packet));
            self.share
                .sort(packet, &mut self.stack, Instant::now())
                .is_some()
        }

        /// Takes what was handed over; how much of it stays.
        fn sort_handed(&mut self, cx: &Context<'_>) -> usize {
            self.share.take(cx, &mut self.taken);
            let mut kept = 0;
            while let Some(handed) = self.taken.pop_front() {
                let packet = handed.into_packet(self.stack.pool());
                let sorted = self.share.sort(packet, &mut self.stack, Instant::now());
                kept += usize::from(sorted.is_some());
            }
            kept
        }
    }

    #[test]
    fn wherever_a_packet_arrives_one_queue_keeps_it() {
        let mut queues = queues(4);
        let cx = Context::from_waker(Waker::noop());
        let mut owners = vec![0; 4];
        for port in 1_000..1_100 {
            for at in 0..4 {
                let packet = datagram(port, None, &[0; 16]);
                let mut kept = vec![usize::from(queues[at].sort(&packet)); 1];
                kept.resize(4, 0);
                kept.swap(0, at);
                for (queue, kept) in queues.iter_mut().zip(&mut kept) {
                    *kept += queue.sort_handed(&cx);
                }
                assert_eq!(kept.iter().sum::<usize>(), 1, "{port} at {at}");
                let owner = kept.iter().position(|kept| *kept == 1).unwrap();
                owners[owner] += 1;
            }
        }
        assert!(
            owners.iter().all(|kept| kept % 4 == 0 && *kept > 0),
            "{owners:?}"
        );
        assert_eq!(queues[0].lost(), 0);
    }

    #[test]
    fn parts_that_arrive_anywhere_meet_and_the_whole_goes_to_its_flow() {
        let mut queues = queues(4);
        let cx = Context::from_waker(Waker::noop());
        for id in 0..200 {
            let port = 2_000 + u16::try_from(id).unwrap();
            let part = |offset, more| Fragment { id, offset, more };
            let first = datagram(port, Some(part(0, true)), &[1; 8]);
            let last = datagram(port, Some(part(16, false)), &[2; 8]);
            let at = usize::try_from(id).unwrap();
            let mut kept = usize::from(queues[at % 4].sort(&first));
            kept += usize::from(queues[(at / 4) % 4].sort(&last));
            // From where they came to where they meet, and from there to the flow.
            for _ in 0..3 {
                for queue in &mut queues {
                    kept += queue.sort_handed(&cx);
                }
            }
            assert_eq!(kept, 1, "{id}");
        }
    }

    #[test]
    fn one_queue_keeps_the_whole_that_belongs_to_none() {
        let mut queues = queues(4);
        let cx = Context::from_waker(Waker::noop());
        for id in 0..50 {
            // Of SCTP: its sender is to be told that nobody speaks it.
            let part = |offset, more| {
                let part = Fragment { id, offset, more };
                packet(132, Some(part), &[7; 8])
            };
            let at = usize::try_from(id).unwrap();
            let mut kept = usize::from(queues[at % 4].sort(&part(0, true)));
            kept += usize::from(queues[(at / 4) % 4].sort(&part(8, false)));
            for _ in 0..2 {
                for queue in &mut queues {
                    kept += queue.sort_handed(&cx);
                }
            }
            assert_eq!(kept, 1, "{id}");
        }
    }

    #[test]
    fn a_queue_that_does_not_take_is_bounded_and_what_is_lost_is_counted() {
        let mut queues = queues(2);
        let small = (1..).map(|port| datagram(port, None, &[0; 16]));
        let foreign = small.filter(|packet| {
            let affinity = Affinity::of(packet).unwrap();
            affinity.queue(NonZeroU32::new(2).unwrap()) == 1
        });
        let foreign: Vec<Vec<u8>> = foreign.take(10).collect();
        for packet in foreign.iter().cycle().take(PACKETS + 5) {
            assert!(!queues[0].sort(packet));
        }
        assert_eq!(queues[0].lost(), 5);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(queues[1].sort_handed(&cx), PACKETS);
        let mut large = foreign[0].clone();
        large.resize(60_000, 0);
        for _ in 0..PACKETS {
            assert!(!queues[0].sort(&large));
        }
        let second = &mut queues[1];
        second.share.take(&cx, &mut second.taken);
        let held: usize = second.taken.iter().map(|one| one.content.len()).sum();
        assert!(held <= BYTES, "{held}");
    }

    #[test]
    fn who_takes_is_woken_once_for_many() {
        let mut queues = queues(2);
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let cx = Context::from_waker(&waker);
        assert_eq!(queues[1].sort_handed(&cx), 0);
        for port in 1..100 {
            queues[0].sort(&datagram(port, None, &[0; 16]));
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(queues[1].sort_handed(&cx) > 10);
    }
}
