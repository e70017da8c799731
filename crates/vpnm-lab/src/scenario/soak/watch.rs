//! The observer of a soak: counts whatever leaves while nothing may. Pure.
//!
//! Where frames were lost before they could be looked at, nothing is known of
//! that time: what was fired in it is not claimed, and it is told as a gap.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use vpnm_world::capture::Tally;
use vpnm_world::probe::{Attempts, Kind};

/// What every kind of probe has done.
pub(super) type Fired = BTreeMap<Kind, Attempts>;

/// What was to be seen at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Sight {
    /// When, from the start.
    pub(super) at_ms: u64,
    /// What had been fired before the wire was looked at: its frames are counted.
    pub(super) before: Fired,
    /// Everything that was on the wire.
    pub(super) tally: Tally,
    /// What had been fired when the look was over.
    pub(super) after: Fired,
}

/// Whether something may leave now.
#[derive(Debug)]
enum Window {
    /// Nothing may that was not on the wire at this tally.
    Closed(Box<Tally>),
    /// A user has disconnected; what was on the wire then.
    Open(Box<Tally>),
}

/// How long the kernel repeats a request for a neighbour that nobody answers: three
/// times, a second apart (`mcast_solicit`, `retrans_time_ms`).
const REPEATED_MS: u64 = 4_000;
/// How such requests are described.
const REQUESTS: [&str; 2] = ["arp request ", "icmp6 type 135 "];

/// Something that left, and what had happened before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// When it was seen, from the start.
    pub at_ms: u64,
    /// Which frames, and how many.
    pub what: String,
    /// What had happened, the latest last.
    pub after: Vec<String>,
}

/// A time of which nothing is known: frames were lost on their way to the observer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// When it began, from the start.
    pub from_ms: u64,
    /// When it ended.
    pub to_ms: u64,
    /// Frames lost.
    pub lost: u64,
    /// Probes fired in it, which prove nothing.
    pub probes: u64,
}

/// What was counted and found.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Frames of all closed times.
    pub(super) total: Tally,
    /// Probes fired while nothing might leave and every frame was seen.
    pub(super) probes: BTreeMap<Kind, u64>,
    pub(super) gaps: Vec<Gap>,
    pub(super) findings: Vec<Finding>,
}

/// Counts of all closed times.
#[derive(Debug)]
pub(super) struct Watch {
    window: Window,
    /// When the window under way began, and what had been fired by then.
    since: (u64, Fired),
    watched: Watched,
    /// Requests begun while the machine was open, and until when they are repeated.
    begun: (BTreeSet<String>, u64),
}

impl Watch {
    /// Nothing may leave from now on.
    pub(super) fn start(sight: Sight) -> Self {
        Self {
            window: Window::Closed(Box::new(sight.tally)),
            since: (sight.at_ms, sight.after),
            watched: Watched::default(),
            begun: (BTreeSet::new(), 0),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.window, Window::Open(_))
    }

    /// Counts what has come since the last look; whether every frame was seen.
    pub(super) fn look(&mut self, sight: Sight, after: &[String]) -> bool {
        let Window::Closed(since) = &self.window else {
            return true;
        };
        let mut new = sight.tally.since(since);
        let (begun, until) = &self.begun;
        if sight.at_ms < *until {
            let repeated = new.leaks.extract_if(.., |what, _| begun.contains(what));
            new.neighbour += repeated.map(|(_, count)| count).sum::<u64>();
        }
        let lost = std::mem::take(&mut new.dropped);
        if new.leaked() + new.unaccounted() > 0 {
            self.watched.findings.push(Finding {
                at_ms: sight.at_ms,
                what: describe(&new),
                after: after.to_vec(),
            });
        }
        self.watched.total += &new;
        self.window = Window::Closed(Box::new(sight.tally));
        let (from_ms, fired) = &self.since;
        if lost == 0 {
            for (kind, count) in since_then(&sight.before, fired) {
                *self.watched.probes.entry(kind).or_default() += count;
            }
            self.since = (sight.at_ms, sight.before);
        } else {
            self.watched.gaps.push(Gap {
                from_ms: *from_ms,
                to_ms: sight.at_ms,
                lost,
                probes: since_then(&sight.after, fired)
                    .map(|(_, count)| count)
                    .sum(),
            });
            self.since = (sight.at_ms, sight.after);
        }
        lost == 0
    }

    /// All may leave from now on.
    pub(super) fn open(&mut self, tally: Tally) {
        self.window = Window::Open(Box::new(tally));
    }

    /// Nothing may any more.
    pub(super) fn close(&mut self, sight: Sight) {
        if let Window::Open(since) = &self.window {
            let asked = sight.tally.since(since).leaks.into_keys();
            let is_request = |what: &String| REQUESTS.iter().any(|kind| what.starts_with(kind));
            self.begun = (
                asked.filter(is_request).collect(),
                sight.at_ms + REPEATED_MS,
            );
        }
        self.window = Window::Closed(Box::new(sight.tally));
        self.since = (sight.at_ms, sight.after);
    }

    /// What was found until now, for who ends before the soak does.
    pub(super) fn told(&self) -> String {
        let Watched {
            total, findings, ..
        } = &self.watched;
        let found: Vec<String> = findings
            .iter()
            .map(|found| format!("at {} ms: {}", found.at_ms, found.what))
            .collect();
        let list = if found.is_empty() {
            "nothing leaked".to_owned()
        } else {
            found.join("\n")
        };
        format!("of {} frames until then, {list}", total.frames)
    }

    /// What was counted and found.
    pub(super) fn end(self) -> Watched {
        self.watched
    }
}

/// Probes of each kind that were fired after `earlier`.
fn since_then<'a>(
    now: &'a Fired,
    earlier: &'a Fired,
) -> impl Iterator<Item = (Kind, u64)> + use<'a> {
    now.iter().map(|(kind, did)| {
        let before = earlier.get(kind).map_or(0, |did| did.attempted);
        (*kind, did.attempted.saturating_sub(before))
    })
}

fn describe(tally: &Tally) -> String {
    let leaks = tally.leaks.iter();
    let mut parts: Vec<String> = leaks
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    if tally.unaccounted() > 0 {
        parts.push(format!("{} unaccounted for", tally.unaccounted()));
    }
    if !tally.markers.is_empty() {
        let kinds: Vec<&str> = tally.markers.keys().map(String::as_str).collect();
        parts.push(format!("by probes of {}", kinds.join(", ")));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look at a wire on which so many frames of the tunnel were seen and so many
    /// lost, when so many probes had been fired before it and after it.
    fn sight(at_ms: u64, (seen, lost): (u64, u64), (before, after): (u64, u64)) -> Sight {
        let fired = |attempted| {
            let did = Attempts {
                attempted,
                ..Attempts::default()
            };
            Fired::from([(Kind::Udp, did)])
        };
        let tally = Tally {
            frames: seen,
            tunnel: seen,
            dropped: lost,
            ..Tally::default()
        };
        Sight {
            at_ms,
            before: fired(before),
            tally,
            after: fired(after),
        }
    }

    #[test]
    fn probes_fired_while_frames_were_lost_are_not_claimed() {
        let mut watch = Watch::start(sight(0, (10, 3), (0, 0)));
        assert!(watch.look(sight(100, (20, 3), (100, 110)), &[]));
        assert!(!watch.look(sight(200, (30, 8), (200, 210)), &[]));
        assert!(watch.look(sight(300, (40, 8), (300, 310)), &[]));
        let watched = watch.end();
        // What was fired during the lossy look is nobody's: neither 200 to 210.
        assert_eq!(watched.probes, BTreeMap::from([(Kind::Udp, 100 + 90)]));
        let gap = Gap {
            from_ms: 100,
            to_ms: 200,
            lost: 5,
            probes: 110,
        };
        assert_eq!(watched.gaps, [gap]);
        assert_eq!((watched.total.frames, watched.total.unaccounted()), (30, 0));
        assert!(watched.findings.is_empty());
    }

    #[test]
    fn a_leak_is_found_though_frames_beside_it_were_lost() {
        let mut watch = Watch::start(Sight::default());
        let mut leaky = sight(100, (10, 1), (0, 0));
        leaky.tally.leaks.insert("udp".to_owned(), 1);
        leaky.tally.frames += 1;
        assert!(!watch.look(leaky, &["what happened".to_owned()]));
        let watched = watch.end();
        assert_eq!(watched.findings.len(), 1);
        assert_eq!((watched.total.leaked(), watched.gaps.len()), (1, 1));
    }

    #[test]
    fn a_frame_that_cannot_be_judged_is_a_finding() {
        let mut watch = Watch::start(Sight::default());
        let mut short = sight(100, (10, 0), (0, 0));
        short.tally.frames += 1;
        assert!(watch.look(short, &[]));
        assert_eq!(watch.end().findings.len(), 1);
    }

    #[test]
    fn nothing_is_claimed_of_what_was_fired_while_all_might_leave() {
        let mut watch = Watch::start(Sight::default());
        watch.look(sight(100, (0, 0), (10, 10)), &[]);
        watch.open(Tally::default());
        assert!(watch.look(sight(200, (0, 7), (500, 500)), &[]));
        watch.close(sight(300, (0, 7), (600, 610)));
        watch.look(sight(400, (0, 7), (700, 700)), &[]);
        let watched = watch.end();
        assert_eq!(watched.probes, BTreeMap::from([(Kind::Udp, 10 + 90)]));
        assert!(watched.gaps.is_empty());
    }
}
