//! One resolver out there, its connections, and the pace at which they are made.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::exchange::ExchangeId;
use crate::link::{Link, LinkId};
use crate::round_trip::RoundTrip;

/// Connections that may be in the making at once.
const MOST_DIALS: usize = 3;
/// The oldest dial is given this long, however many younger ones were tried.
const DIAL_LIFE: Duration = Duration::from_secs(10);
/// Dials follow one another no faster.
const LEAST_PACE: Duration = Duration::from_millis(250);
/// Dials follow one another no slower while there is a need.
const MOST_PACE: Duration = Duration::from_secs(1);

/// Names an upstream: its place in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u8);

/// An upstream and everything known about it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) id: UpstreamId,
    pub(crate) trip: RoundTrip,
    /// Connections, oldest first.
    pub(crate) links: Vec<Link>,
    /// Queries that go out with the next connection.
    pub(crate) waiting: BTreeSet<ExchangeId>,
    /// Dials that failed since the last that did not.
    pub(crate) failures: u32,
    next_dial: Option<Instant>,
    pace: Duration,
}

impl Upstream {
    pub(crate) fn new(id: UpstreamId) -> Self {
        Self {
            id,
            trip: RoundTrip::default(),
            links: Vec::new(),
            waiting: BTreeSet::new(),
            failures: 0,
            next_dial: None,
            pace: Duration::ZERO,
        }
    }

    /// The connection new queries go to: the youngest that is not suspect.
    pub(crate) fn serving(&mut self) -> Option<&mut Link> {
        self.links.iter_mut().rev().find(|link| link.serves())
    }

    /// Whether a connection stands and is not suspect.
    pub(crate) fn serves(&self) -> bool {
        self.links.iter().any(Link::serves)
    }

    /// Whether queries need a connection that is not there.
    pub(crate) fn is_starved(&self) -> bool {
        let stuck = |link: &Link| link.suspect && !link.outstanding.is_empty();
        !self.serves() && (!self.waiting.is_empty() || self.links.iter().any(stuck))
    }

    /// When the next connection may be dialled.
    pub(crate) fn may_dial_at(&self) -> Option<Instant> {
        self.next_dial
    }

    /// Begins a dial; returns the dials that have to go for it.
    pub(crate) fn dial(&mut self, id: LinkId, now: Instant, jitter: f64) -> Vec<LinkId> {
        let base = self.trip.timeout().max(LEAST_PACE);
        self.pace = (self.pace * 2).clamp(base, MOST_PACE);
        self.next_dial = Some(now + self.pace.mul_f64(jitter));
        let overdue = self.overdue(now);
        for link in &overdue {
            self.remove(*link);
        }
        self.links.push(Link::dialing(id, now));
        overdue
    }

    /// Dials to give up: those beyond their life, and the second oldest of too many.
    ///
    /// The oldest stays: on a slow path it is the only one that can come through.
    fn overdue(&self, now: Instant) -> Vec<LinkId> {
        let dialing = self.links.iter().filter(|link| !link.ready);
        let (mut gone, alive): (Vec<_>, Vec<_>) =
            dialing.partition(|link| now.saturating_duration_since(link.dialed()) >= DIAL_LIFE);
        if alive.len() >= MOST_DIALS {
            gone.extend(alive.get(1));
        }
        gone.into_iter().map(|link| link.id).collect()
    }

    /// An answer came, or everything is new: the next dial may begin at once.
    pub(crate) fn reset_pace(&mut self) {
        self.failures = 0;
        self.next_dial = None;
        self.pace = Duration::ZERO;
    }

    /// A connection by its id.
    pub(crate) fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// Takes a connection out.
    pub(crate) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let at = self.links.iter().position(|link| link.id == id)?;
        Some(self.links.remove(at))
    }
}
