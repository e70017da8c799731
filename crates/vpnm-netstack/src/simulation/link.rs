//! One direction of a path, with everything that can happen to a packet.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use vpnm_wire::VnetHeader;

/// What a path is like; both directions are alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) delay: Duration,
    /// Bytes per second; 0 for without limit.
    pub(super) rate: u64,
    /// Packets that wait for the link; more are lost.
    pub(super) queue: usize,
    /// Out of ten thousand packets, how many are lost, duplicated, held up.
    pub(super) loss: u32,
    pub(super) duplicates: u32,
    pub(super) reordered: u32,
    /// Whether super-packets travel.
    pub(super) offload: bool,
    /// Whether a host on the way forwards the client's packets.
    pub(super) forwarded: bool,
    pub(super) seed: u64,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            rate: 0,
            queue: usize::MAX,
            loss: 0,
            duplicates: 0,
            reordered: 0,
            offload: false,
            forwarded: false,
            seed: 1,
        }
    }
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `limit`.
    pub(super) fn roll(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 32) % u64::from(limit)).unwrap()
    }

    fn hits(&mut self, of_ten_thousand: u32) -> bool {
        of_ten_thousand > 0 && self.roll(10_000) < of_ten_thousand
    }
}

pub(super) type Packet = (Vec<u8>, VnetHeader);

#[derive(Debug)]
pub(super) struct Link {
    path: Path,
    dice: Dice,
    /// On their way, by arrival and then by departure.
    flying: BTreeMap<(Instant, u64), Packet>,
    count: u64,
    /// When the packets that wait leave.
    departures: VecDeque<Instant>,
    /// Packets lost by chance or by a full queue.
    pub(super) lost: usize,
}

impl Link {
    pub(super) fn new(path: Path, direction: u64) -> Self {
        Self {
            dice: Dice::new(path.seed * 2 + direction),
            path,
            flying: BTreeMap::new(),
            count: 0,
            departures: VecDeque::new(),
            lost: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flying.is_empty()
    }

    pub(super) fn send(&mut self, packet: Vec<u8>, offload: VnetHeader, now: Instant) {
        while self.departures.front().is_some_and(|at| *at <= now) {
            self.departures.pop_front();
        }
        if self.departures.len() >= self.path.queue || self.dice.hits(self.path.loss) {
            self.lost += 1;
            return;
        }
        let takes = match self.path.rate {
            0 => Duration::ZERO,
            rate => Duration::from_nanos(packet.len() as u64 * 1_000_000_000 / rate),
        };
        let leaves = self.departures.back().copied().unwrap_or(now).max(now) + takes;
        self.departures.push_back(leaves);
        let mut arrives = leaves + self.path.delay;
        if self.dice.hits(self.path.reordered) {
            arrives += self.path.delay / 4 + Duration::from_micros(300);
        }
        let copies = 1 + u64::from(self.dice.hits(self.path.duplicates));
        for _ in 0..copies {
            self.count += 1;
            self.flying
                .insert((arrives, self.count), (packet.clone(), offload));
        }
    }

    /// All packets on their way.
    pub(super) fn packets(&self) -> impl Iterator<Item = Vec<u8>> {
        self.flying.values().map(|(packet, _)| packet.clone())
    }

    /// And what their virtio headers say.
    pub(super) fn offloaded(&self) -> impl Iterator<Item = &Packet> {
        self.flying.values()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn deliver(&mut self, now: Instant) -> Option<Packet> {
        if self.next()? > now {
            return None;
        }
        self.flying.pop_first().map(|(_, packet)| packet)
    }
}
