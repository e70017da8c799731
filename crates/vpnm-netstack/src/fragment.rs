//! Reassembly of fragmented packets (RFC 791 section 3.2, RFC 8200 section 4.5, RFC 5722).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use vpnm_wire::{Buffer, BufferPool, Chunk, Fragment, IpHeader};

/// Packets being reassembled at one time; the oldest of who has most of them makes room.
const CAPACITY: usize = 32;
/// How long the rest of a packet is waited for: as Linux.
const LIFETIME: Duration = Duration::from_secs(30);
/// Most bytes a packet can carry.
const MAX_LENGTH: usize = 65_535;
/// Most stretches of one packet that are not yet joined.
const MAX_STRETCHES: usize = 64;

/// Packets of which not all parts have arrived, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    packets: Vec<Partial>,
}

#[derive(Debug)]
struct Partial {
    key: Key,
    bytes: Buffer,
    /// What has arrived: sorted, disjoint, not adjacent.
    stretches: Vec<(usize, usize)>,
    /// Known once the last part arrived.
    length: Option<usize>,
    until: Instant,
    /// The first part as it came, headers and all, as much of it as an error quotes.
    first: Option<(IpHeader, Chunk)>,
}

type Key = (IpAddr, IpAddr, u8, u32);

fn key(header: &IpHeader, fragment: Fragment) -> Key {
    let IpHeader {
        source,
        destination,
        protocol,
        ..
    } = *header;
    (source, destination, protocol, fragment.id)
}

impl Reassembly {
    /// Takes one part; the transport header and payload once they are whole.
    pub(crate) fn handle(
        &mut self,
        header: &IpHeader,
        fragment: Fragment,
        content: &[u8],
        pool: &BufferPool,
        now: Instant,
    ) -> Option<Chunk> {
        let end = fragment.offset + content.len();
        // All parts but the last are whole units of eight bytes.
        if content.is_empty()
            || end > MAX_LENGTH
            || fragment.more && !content.len().is_multiple_of(8)
        {
            return None;
        }
        let index = self.find(key(header, fragment), pool, now);
        let packet = self.packets.get_mut(index)?;
        if !packet.add(fragment, content) {
            // Parts that overlap are nobody's honest work (RFC 5722).
            self.packets.remove(index);
            return None;
        }
        if !packet.is_whole() {
            return None;
        }
        let packet = self.packets.remove(index);
        let length = packet.length.unwrap_or(0);
        Some(Chunk::new(packet.bytes, 0, length))
    }

    /// Remembers how a first part began, in case that others of its packet never come.
    pub(crate) fn keep_first(
        &mut self,
        header: IpHeader,
        fragment: Fragment,
        first: &[u8],
        pool: &BufferPool,
    ) {
        let key = key(&header, fragment);
        if let Some(packet) = self.packets.iter_mut().find(|packet| packet.key == key) {
            packet.first = Some((header, pool.copy(first)));
        }
    }

    fn find(&mut self, key: Key, pool: &BufferPool, now: Instant) -> usize {
        if let Some(index) = self.packets.iter().position(|packet| packet.key == key) {
            return index;
        }
        if self.packets.len() >= CAPACITY {
            self.packets.remove(self.least_deserving());
        }
        self.packets.push(Partial {
            key,
            bytes: pool.large(),
            stretches: Vec::new(),
            length: None,
            until: now + LIFETIME,
            first: None,
        });
        self.packets.len() - 1
    }

    /// The oldest packet of the host that has most: a flood of parts from one leaves the
    /// others theirs.
    fn least_deserving(&self) -> usize {
        let of = |source| {
            let same = self.packets.iter().filter(|packet| packet.key.0 == source);
            same.count()
        };
        let counts = self.packets.iter().map(|packet| of(packet.key.0));
        let most = counts.clone().max().unwrap_or(0);
        counts
            .into_iter()
            .position(|count| count == most)
            .unwrap_or(0)
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.packets.first().map(|packet| packet.until)
    }

    /// Forgets packets that were waited for in vain; the first parts of those that had one.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<(IpHeader, Chunk)> {
        let expired = self.packets.partition_point(|packet| packet.until <= now);
        let expired = self.packets.drain(..expired);
        expired.filter_map(|packet| packet.first).collect()
    }
}

impl Partial {
    /// Whether the part fits to what is there.
    fn add(&mut self, fragment: Fragment, content: &[u8]) -> bool {
        let (from, to) = (fragment.offset, fragment.offset + content.len());
        let place = self.stretches.partition_point(|stretch| stretch.1 <= from);
        let next = self.stretches.get(place).copied();
        if next.is_some_and(|next| next.0 <= from && to <= next.1) {
            // The same part again: packets are sometimes doubled on their way.
            return self.bytes.get(from..to) == Some(content);
        }
        if next.is_some_and(|next| next.0 < to)
            || self.length.is_some_and(|length| to > length)
            || self.stretches.len() >= MAX_STRETCHES
        {
            return false;
        }
        if !fragment.more {
            let beyond = self.stretches.last().is_some_and(|last| last.1 > to);
            if beyond || self.length.is_some() {
                return false;
            }
            self.length = Some(to);
        }
        if let Some(room) = self.bytes.get_mut(from..to) {
            room.copy_from_slice(content);
        }
        self.stretches.insert(place, (from, to));
        self.join(place);
        true
    }

    /// Joins the stretch at `place` with its neighbours.
    fn join(&mut self, place: usize) {
        for left in [place, place.wrapping_sub(1)] {
            let Some(&(from, middle)) = self.stretches.get(left) else {
                continue;
            };
            if let Some(&(begin, to)) = self.stretches.get(left + 1)
                && begin == middle
            {
                self.stretches.remove(left + 1);
                if let Some(stretch) = self.stretches.get_mut(left) {
                    *stretch = (from, to);
                }
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.length
            .is_some_and(|length| self.stretches == [(0, length)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> IpHeader {
        IpHeader {
            source: "192.0.2.1".parse().unwrap(),
            destination: "192.0.2.2".parse().unwrap(),
            protocol: 17,
            protocol_at: 9,
            header_len: 20,
            total_len: 0,
            hop_limit: 64,
            fragment: None,
        }
    }

    fn part(id: u32, offset: usize, more: bool) -> Fragment {
        Fragment { id, offset, more }
    }

    #[test]
    fn parts_in_any_order_make_the_packet() {
        let data: Vec<u8> = (0..100).collect();
        let parts = [(0, 32), (32, 64), (64, 96), (96, 100)];
        let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
        let (pool, now) = (BufferPool::new(), Instant::now());
        for order in orders {
            let mut reassembly = Reassembly::default();
            let mut whole = None;
            for index in order {
                assert!(whole.is_none());
                let (from, to) = parts[index];
                let part = part(1, from, to != 100);
                whole = reassembly.handle(&header(), part, &data[from..to], &pool, now);
            }
            assert_eq!(whole.as_deref(), Some(&data[..]), "{order:?}");
        }
        assert_eq!(pool.bytes_out(), 0);
    }

    #[test]
    fn overlapping_parts_are_thrown_away() {
        let (pool, now) = (BufferPool::new(), Instant::now());
        let mut reassembly = Reassembly::default();
        let mut take = |offset, more, len| {
            reassembly.handle(&header(), part(1, offset, more), &vec![0; len], &pool, now)
        };
        assert!(take(0, true, 16).is_none());
        assert!(take(8, false, 16).is_none());
        assert_eq!(reassembly.packets.len(), 0);
    }

    #[test]
    fn doubled_parts_are_taken_once_unless_they_differ() {
        let (pool, now) = (BufferPool::new(), Instant::now());
        for (byte, whole) in [(0, true), (1, false)] {
            let mut reassembly = Reassembly::default();
            let mut take = |offset, more, content: &[u8]| {
                reassembly.handle(&header(), part(1, offset, more), content, &pool, now)
            };
            assert!(take(0, true, &[0; 16]).is_none());
            assert!(take(16, true, &[0; 16]).is_none());
            // By now it is a part of a longer stretch.
            assert!(take(16, true, &[byte; 16]).is_none());
            assert_eq!(take(32, false, &[0; 3]).is_some(), whole);
        }
    }

    #[test]
    fn a_flood_of_parts_leaves_the_others_theirs() {
        let (pool, now) = (BufferPool::new(), Instant::now());
        let mut reassembly = Reassembly::default();
        reassembly.handle(&header(), part(7, 0, true), &[1; 8], &pool, now);
        let flooder = IpHeader {
            source: "192.0.2.66".parse().unwrap(),
            ..header()
        };
        for id in 0..1_000 {
            reassembly.handle(&flooder, part(id, 0, true), &[0; 8], &pool, now);
        }
        let whole = reassembly.handle(&header(), part(7, 8, false), &[2; 8], &pool, now);
        assert_eq!(
            whole.as_deref(),
            Some(&[1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2][..])
        );
    }

    #[test]
    fn what_stays_incomplete_is_bounded_and_forgotten() {
        let (pool, now) = (BufferPool::new(), Instant::now());
        let mut reassembly = Reassembly::default();
        for id in 0..1_000 {
            reassembly.handle(&header(), part(id, 0, true), &[0; 8], &pool, now);
        }
        assert_eq!(reassembly.packets.len(), CAPACITY);
        let expiry = reassembly.next_expiry().unwrap();
        reassembly.expire(expiry);
        assert_eq!(pool.bytes_out(), 0);
    }
}
