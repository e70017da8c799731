//! The observer of a soak: counts whatever leaves while nothing may.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Serialize;
use vpnm_world::capture::{Capture, Tally};

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

/// Counts of all closed times.
#[derive(Debug)]
pub(super) struct Watch {
    window: Window,
    total: Tally,
    findings: Vec<Finding>,
    /// Requests begun while the machine was open, and until when they are repeated.
    begun: (BTreeSet<String>, u64),
}

impl Watch {
    /// Nothing may leave from now on.
    pub(super) fn start(capture: &Capture) -> Result<Self> {
        Ok(Self {
            window: Window::Closed(Box::new(capture.tally()?)),
            total: Tally::default(),
            findings: Vec::new(),
            begun: (BTreeSet::new(), 0),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.window, Window::Open(_))
    }

    /// Counts what has come since the last look.
    pub(super) fn look(&mut self, capture: &Capture, at_ms: u64, after: &[String]) -> Result<()> {
        let Window::Closed(since) = &self.window else {
            return Ok(());
        };
        let now = capture.tally()?;
        let mut new = now.since(since);
        let (begun, until) = &self.begun;
        if at_ms < *until {
            let repeated = new.leaks.extract_if(.., |what, _| begun.contains(what));
            new.neighbour += repeated.map(|(_, count)| count).sum::<u64>();
        }
        if new.leaked() + new.unaccounted() > 0 {
            self.findings.push(Finding {
                at_ms,
                what: describe(&new),
                after: after.to_vec(),
            });
        }
        self.total += &new;
        self.window = Window::Closed(Box::new(now));
        Ok(())
    }

    /// All may leave from now on.
    pub(super) fn open(&mut self, capture: &Capture) -> Result<()> {
        self.window = Window::Open(Box::new(capture.tally()?));
        Ok(())
    }

    /// Nothing may any more.
    pub(super) fn close(&mut self, capture: &Capture, at_ms: u64) -> Result<()> {
        let now = capture.tally()?;
        if let Window::Open(since) = &self.window {
            let asked = now.since(since).leaks.into_keys();
            let is_request = |what: &String| REQUESTS.iter().any(|kind| what.starts_with(kind));
            self.begun = (asked.filter(is_request).collect(), at_ms + REPEATED_MS);
        }
        self.window = Window::Closed(Box::new(now));
        Ok(())
    }

    /// What was counted and found.
    pub(super) fn end(self) -> (Tally, Vec<Finding>) {
        (self.total, self.findings)
    }
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
