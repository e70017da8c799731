//! Paths to applications' hosts that take less than the link does (RFC 1191, RFC 8201).

use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Paths known at one time; the one heard of longest ago makes room.
const CAPACITY: usize = 64;
/// How long a report is believed, after which the path may have become wider: as Linux.
const LIFETIME: Duration = Duration::from_mins(10);
/// No path is taken to be narrower: Linux's least for IPv4, and that of IPv6 (RFC 8200
/// section 5).
const LEAST_V4: usize = 552;
const LEAST_V6: usize = 1_280;

/// The MTU of the path to a host of which a router said that it is `mtu`, 0 if it did not say
/// what it is; `None` if that means nothing.
pub(crate) fn believed_mtu(to: IpAddr, mtu: usize) -> Option<usize> {
    match to {
        IpAddr::V4(_) => Some(mtu.max(LEAST_V4)),
        // Not even a guess (RFC 8201 section 4).
        IpAddr::V6(_) => (mtu >= LEAST_V6).then_some(mtu),
    }
}

/// What a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// The longest packet in bytes.
    pub(crate) mtu: usize,
    /// Whether routers may cut shorter ones, too: the path is narrower than is believed.
    pub(crate) cut: bool,
}

#[derive(Debug)]
struct Path {
    to: IpAddr,
    limit: Limit,
    until: Instant,
}

/// The narrow paths, in the order of their expiry. Most stacks never hear of any.
#[derive(Debug, Default)]
pub(crate) struct Paths(Vec<Path>);

impl Paths {
    /// What the path to a host takes, if that is known to be less than the link's.
    pub(crate) fn limit(&self, to: IpAddr) -> Option<Limit> {
        self.0
            .iter()
            .find(|path| path.to == to)
            .map(|path| path.limit)
    }

    /// A router said that the path to a host takes no longer packets than `mtu`, which is
    /// less than the link's; 0 if it did not say what it takes.
    pub(crate) fn learn(&mut self, to: IpAddr, mtu: usize, now: Instant) {
        let Some(believed) = believed_mtu(to, mtu) else {
            return;
        };
        let known = self.limit(to);
        if known.is_some_and(|known| known.mtu < mtu) {
            // It speaks of a packet from before.
            return;
        }
        let limit = Limit {
            mtu: believed,
            cut: mtu < believed || known.is_some_and(|known| known.cut),
        };
        self.expire(now);
        self.0.retain(|path| path.to != to);
        if self.0.len() >= CAPACITY {
            self.0.remove(0);
        }
        let until = now + LIFETIME;
        self.0.push(Path { to, limit, until });
    }

    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.0.first().map(|path| path.until)
    }

    pub(crate) fn expire(&mut self, now: Instant) {
        self.0.retain(|path| path.until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    fn learned(reports: &[usize], to: IpAddr) -> Option<(usize, bool)> {
        let mut paths = Paths::default();
        for mtu in reports {
            paths.learn(to, *mtu, Instant::now());
        }
        paths.limit(to).map(|limit| (limit.mtu, limit.cut))
    }

    #[test]
    fn what_is_said_of_a_path_is_believed_as_linux_believes_it() {
        let v6 = "2001:db8::1".parse().unwrap();
        for (reports, v4, v6_too) in [
            (&[1_400][..], Some((1_400, false)), Some((1_400, false))),
            (&[1_300, 1_350], Some((1_300, false)), Some((1_300, false))),
            (&[1_350, 1_300], Some((1_300, false)), Some((1_300, false))),
            (&[1_280], Some((1_280, false)), Some((1_280, false))),
            (&[1_279], Some((1_279, false)), None),
            (&[1_400, 1_000], Some((1_000, false)), Some((1_400, false))),
            (&[552], Some((552, false)), None),
            (&[551], Some((552, true)), None),
            (&[0, 552], Some((552, true)), None),
        ] {
            assert_eq!(learned(reports, host(1)), v4, "{reports:?}");
            assert_eq!(learned(reports, v6), v6_too, "{reports:?}");
        }
    }

    #[test]
    fn paths_are_few_and_forgotten_in_time() {
        let start = Instant::now();
        let mut paths = Paths::default();
        let mut now = start;
        for number in 0..1_000 {
            paths.learn(host(0), 1_400, now);
            paths.learn(host(number), 1_400, now);
            now += Duration::from_millis(1);
        }
        assert_eq!(paths.0.len(), CAPACITY);
        assert!(paths.limit(host(0)).is_some() && paths.limit(host(999)).is_some());
        let mut gone = 0;
        while let Some(at) = paths.next_expiry() {
            assert!(at > now && at <= now + LIFETIME);
            paths.expire(at);
            gone += 1;
        }
        assert_eq!(gone, CAPACITY - 1, "two of the last were learned at once");
    }
}
