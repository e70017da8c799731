//! By which interfaces and from which addresses a program could leave: looked
//! up time and again, since attackers rename, add and readdress.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::links;
pub(super) use crate::links::Uplink;

/// How old what is known may become.
const FRESH: Duration = Duration::from_millis(20);

/// The interfaces and IPv4 addresses of the calling thread's host.
#[derive(Debug)]
pub(super) struct Uplinks {
    links: Vec<Uplink>,
    sources: Vec<Ipv4Addr>,
    learnt: Instant,
}

impl Uplinks {
    /// Those of now.
    pub(super) fn learn(now: Instant) -> io::Result<Self> {
        let links = links::uplinks()?;
        let addresses = links::addresses_v4()?;
        let of_links = addresses
            .into_iter()
            .filter(|(index, _)| links.iter().any(|link| link.index == *index));
        let sources = of_links.map(|(_, address)| address).collect();
        Ok(Self {
            links,
            sources,
            learnt: now,
        })
    }

    /// Looks again when it is time to.
    pub(super) fn refresh(&mut self, now: Instant) {
        if now.duration_since(self.learnt) < FRESH {
            return;
        }
        // A dump that changes interrupted is taken again at the next look.
        match Self::learn(now) {
            Ok(new) => *self = new,
            Err(_) => self.learnt = now,
        }
    }

    /// An interface, another for another `shot`.
    pub(super) fn link(&self, shot: u16) -> io::Result<&Uplink> {
        pick(&self.links, shot)
    }

    /// An address of the host's on them, another for another `shot`.
    pub(super) fn source(&self, shot: u16) -> io::Result<Ipv4Addr> {
        pick(&self.sources, shot).copied()
    }
}

/// Shots of one kind come at regular distances: they are spread over `all`.
fn pick<T>(all: &[T], shot: u16) -> io::Result<&T> {
    let spread = usize::from(shot.wrapping_mul(0x9e37) >> 6);
    all.get(spread % all.len().max(1))
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_gets_shots_at_any_distance() {
        let all = [0, 1, 2];
        for distance in 1..=64_u16 {
            let mut hits = [0; 3];
            for shot in 0..300_u16 {
                let picked = *pick(&all, shot.wrapping_mul(distance)).expect("one of them");
                hits[picked] += 1;
            }
            assert!(
                hits.iter().all(|hits| *hits > 30),
                "every {distance}: {hits:?}"
            );
        }
        assert!(pick::<u8>(&[], 7).is_err());
    }
}
