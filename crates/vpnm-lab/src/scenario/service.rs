//! What an attack does to service: bytes moved with it and without it, in turns.
//!
//! What else the machine does weighs on both slices of a pair alike, so that their ratio
//! is the attack's doing, and the median of many forgets the pairs it did not weigh on
//! alike. A flow that began without the attack has to live through its beginning.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use vpnm_world::addresses::SITE;
use vpnm_world::internet::SOURCE_PORT;
use vpnm_world::{User, Visitor};

use crate::session::Session;

/// How long bytes are counted, and how long they run before that: the program under test
/// looks at what has changed meanwhile, which takes its part of two cores.
const SLICE: Duration = Duration::from_millis(200);
const RUN_UP: Duration = Duration::from_millis(300);
/// Longest silence of a flow that still lives.
const PATIENCE: Duration = Duration::from_secs(20);
const CHUNK: usize = 256 * 1024;
/// What of the service must be left under attack.
pub const KEPT: f64 = 0.95;
/// Pairs of slices: as few as these say enough if the service is kept, and a machine
/// that is busy with other things gets as many as these to show it.
const FEWEST: usize = 5;
const MOST: usize = 60;

/// Of each pair of slices: bytes moved under attack, as a part of those without.
#[derive(Debug, Default)]
pub(super) struct Ratios(Vec<f64>);

impl Ratios {
    pub(super) fn add(&mut self, without: u64, under: u64) {
        let bytes = |bytes: u64| f64::from(u32::try_from(bytes / 1_024).unwrap_or(u32::MAX));
        self.0.push(bytes(under) / bytes(without).max(1.0));
    }

    /// The middle of them.
    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    }

    /// Whether more pairs would say no more.
    pub(super) fn are_enough(&self) -> bool {
        let count = self.0.len();
        count >= MOST || (count >= FEWEST && self.median() >= KEPT)
    }
}

/// Bytes that a user takes from the site.
#[derive(Debug)]
pub(super) struct Flow(TcpStream);

impl Flow {
    /// Begins one; the first bytes have come.
    pub(super) fn begin(session: &Session) -> io::Result<Self> {
        let alice = Visitor::new(session.client(), User::Alice);
        let stream = alice.connect((SITE.v4, SOURCE_PORT).into())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut flow = Self(stream);
        flow.take(Duration::ZERO)?;
        Ok(flow)
    }

    /// Bytes that come in a slice of time; an error if the flow broke or stood still.
    pub(super) fn slice(&mut self) -> io::Result<u64> {
        self.take(RUN_UP)?;
        self.take(SLICE)
    }

    /// An error if the flow broke or stands still.
    pub(super) fn goes_on(&mut self) -> io::Result<()> {
        self.take(RUN_UP).map(drop)
    }

    /// Bytes that come in so much time, some at least.
    fn take(&mut self, time: Duration) -> io::Result<u64> {
        let (start, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; CHUNK]);
        loop {
            let length = self.0.read(&mut buffer)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes += u64::try_from(length).unwrap_or(0);
            if start.elapsed() >= time {
                return Ok(bytes);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn ratios(of_hundred: &[u64]) -> Ratios {
        let mut ratios = Ratios::default();
        for part in of_hundred {
            ratios.add(100 * MIB, part * MIB);
        }
        ratios
    }

    #[test]
    fn a_service_that_is_kept_is_seen_soon() {
        assert!(!ratios(&[100, 101, 99, 100]).are_enough());
        let kept = ratios(&[100, 30, 99, 200, 98]);
        assert!(kept.are_enough() && kept.median() >= KEPT);
    }

    #[test]
    fn a_loss_stays_one_however_long_it_is_looked_at() {
        let lossy = [90, 94, 89, 93, 120].repeat(MOST / 5);
        assert!(!ratios(&lossy[..MOST - 1]).are_enough());
        let all = ratios(&lossy);
        assert!(all.are_enough() && all.median() < KEPT);
    }

    #[test]
    fn nothing_at_all_is_no_service() {
        assert!(ratios(&[0; MOST]).median() < KEPT);
        assert!(Ratios::default().median() < KEPT);
    }
}
