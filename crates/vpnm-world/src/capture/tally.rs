//! What a capture has counted.

use std::collections::BTreeMap;

use super::class::{Class, Judgement};

/// Frames of the client, by what they were. Every frame is in exactly one of
/// [`tunnel`](Self::tunnel), [`neighbour`](Self::neighbour),
/// [`dhcp`](Self::dhcp), [`leaks`](Self::leaks) and
/// [`unknown`](Self::unknown).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// All frames seen.
    pub frames: u64,
    /// Frames to permitted endpoints.
    pub tunnel: u64,
    /// Bytes of those frames.
    pub tunnel_bytes: u64,
    /// ARP and neighbour discovery with the gateway.
    pub neighbour: u64,
    /// DHCP.
    pub dhcp: u64,
    /// Everything that should not have left, by description.
    pub leaks: BTreeMap<String, u64>,
    /// Frames too short to be judged.
    pub unknown: u64,
    /// Frames the kernel could not hand over in time.
    pub dropped: u64,
    /// Frames to port 53 (also counted as leaks).
    pub plaintext_dns: u64,
    /// Frames outside a tunnel that show which probe they came from, by probe.
    pub markers: BTreeMap<String, u64>,
}

impl Tally {
    /// Frames that should not have left.
    #[must_use]
    pub fn leaked(&self) -> u64 {
        self.leaks.values().sum()
    }

    /// Frames nobody can vouch for: must be 0 for a result to mean anything.
    #[must_use]
    pub fn unaccounted(&self) -> u64 {
        let known = self.tunnel + self.neighbour + self.dhcp + self.leaked();
        self.frames.saturating_sub(known) + self.dropped
    }

    /// What came after `earlier`, a tally of the same capture.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            frames: self.frames.saturating_sub(earlier.frames),
            tunnel: self.tunnel.saturating_sub(earlier.tunnel),
            tunnel_bytes: self.tunnel_bytes.saturating_sub(earlier.tunnel_bytes),
            neighbour: self.neighbour.saturating_sub(earlier.neighbour),
            dhcp: self.dhcp.saturating_sub(earlier.dhcp),
            leaks: subtract(&self.leaks, &earlier.leaks),
            unknown: self.unknown.saturating_sub(earlier.unknown),
            dropped: self.dropped.saturating_sub(earlier.dropped),
            plaintext_dns: self.plaintext_dns.saturating_sub(earlier.plaintext_dns),
            markers: subtract(&self.markers, &earlier.markers),
        }
    }

    pub(super) fn add(&mut self, judgement: Judgement, length: u64) {
        self.frames += 1;
        self.plaintext_dns += u64::from(judgement.plaintext_dns);
        match judgement.class {
            Class::Tunnel => {
                self.tunnel += 1;
                self.tunnel_bytes += length;
            }
            Class::Neighbour => self.neighbour += 1,
            Class::Dhcp => self.dhcp += 1,
            Class::Unknown => self.unknown += 1,
            Class::Leak(what) => {
                *self.leaks.entry(what).or_default() += 1;
                if let Some(marker) = judgement.marker {
                    *self.markers.entry(marker).or_default() += 1;
                }
            }
        }
    }
}

/// Counts of two separate times.
impl std::ops::AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.frames += other.frames;
        self.tunnel += other.tunnel;
        self.tunnel_bytes += other.tunnel_bytes;
        self.neighbour += other.neighbour;
        self.dhcp += other.dhcp;
        self.unknown += other.unknown;
        self.dropped += other.dropped;
        self.plaintext_dns += other.plaintext_dns;
        for (all, more) in [
            (&mut self.leaks, &other.leaks),
            (&mut self.markers, &other.markers),
        ] {
            for (what, count) in more {
                *all.entry(what.clone()).or_default() += count;
            }
        }
    }
}

fn subtract(now: &BTreeMap<String, u64>, earlier: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    now.iter()
        .map(|(what, count)| (what.clone(), count - earlier.get(what).unwrap_or(&0)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(class: Class) -> Judgement {
        Judgement {
            class,
            plaintext_dns: false,
            marker: None,
        }
    }

    #[test]
    fn every_frame_is_accounted_for_but_unknown_and_dropped_ones() {
        let mut tally = Tally::default();
        tally.add(judgement(Class::Tunnel), 100);
        tally.add(judgement(Class::Leak("udp".to_owned())), 60);
        assert_eq!((tally.leaked(), tally.unaccounted()), (1, 0));
        tally.add(judgement(Class::Unknown), 3);
        tally.dropped = 2;
        assert_eq!(tally.unaccounted(), 3);
    }

    #[test]
    fn what_is_taken_apart_adds_up() {
        let mut earlier = Tally::default();
        earlier.add(judgement(Class::Leak("udp".to_owned())), 60);
        let mut now = earlier.clone();
        now.add(judgement(Class::Tunnel), 60);
        now.add(judgement(Class::Leak("udp".to_owned())), 60);
        let mut sum = earlier.clone();
        sum += &now.since(&earlier);
        assert_eq!(sum, now);
    }

    #[test]
    fn since_keeps_only_what_is_new() {
        let mut earlier = Tally::default();
        earlier.add(judgement(Class::Leak("udp".to_owned())), 60);
        let mut now = earlier.clone();
        now.add(judgement(Class::Leak("tcp".to_owned())), 60);
        assert_eq!(
            now.since(&earlier).leaks,
            BTreeMap::from([("tcp".to_owned(), 1)])
        );
    }
}
