//! Addresses given to the tunnel link that nothing is delivered to yet.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long one is taken to be on its way. Where nothing can ever be delivered, as to a
/// link in a VRF, it is given anew no more often.
const PATIENCE: Duration = Duration::from_secs(10);

/// Addresses that were waited for, and since when they are late.
#[derive(Debug, Default)]
pub(super) struct Late {
    since: BTreeMap<IpAddr, Instant>,
}

impl Late {
    /// Whether an address was waited for already.
    pub(super) fn knows(&self, ip: IpAddr) -> bool {
        self.since.contains_key(&ip)
    }

    /// Notes that an address was waited for in vain.
    pub(super) fn note(&mut self, ip: IpAddr, now: Instant) {
        self.since.insert(ip, now);
    }

    /// Counts those that are late among what is `delivered`; forgets those that came, and
    /// those that are not on their way any more.
    pub(super) fn excuse(&mut self, delivered: &mut BTreeSet<IpAddr>, now: Instant) {
        let is_on_its_way = |since: Instant| now.saturating_duration_since(since) < PATIENCE;
        self.since
            .retain(|ip, since| !delivered.contains(ip) && is_on_its_way(*since));
        delivered.extend(self.since.keys());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_address_counts_until_it_came_or_never_will() {
        let ip: IpAddr = "fd76:706e:6d30::1".parse().unwrap();
        let (mut late, start) = (Late::default(), Instant::now());
        let counts = |late: &mut Late, delivered: &[IpAddr], now| {
            let mut delivered = delivered.iter().copied().collect();
            late.excuse(&mut delivered, now);
            (late.knows(ip), delivered.contains(&ip))
        };
        assert_eq!(counts(&mut late, &[], start), (false, false));
        late.note(ip, start);
        assert_eq!(counts(&mut late, &[], start), (true, true));
        assert_eq!(counts(&mut late, &[ip], start), (false, true));
        assert_eq!(counts(&mut late, &[], start), (false, false), "lost again");
        late.note(ip, start);
        assert_eq!(counts(&mut late, &[], start + PATIENCE), (false, false));
    }
}
