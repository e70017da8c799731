//! The observer of a soak: counts whatever leaves while nothing may.

use anyhow::Result;
use serde::Serialize;
use vpnm_world::capture::{Capture, Tally};

/// Whether something may leave now.
#[derive(Debug)]
enum Window {
    /// Nothing may that was not on the wire at this tally.
    Closed(Box<Tally>),
    /// A user has disconnected.
    Open,
}

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
}

impl Watch {
    /// Nothing may leave from now on.
    pub(super) fn start(capture: &Capture) -> Result<Self> {
        Ok(Self {
            window: Window::Closed(Box::new(capture.tally()?)),
            total: Tally::default(),
            findings: Vec::new(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.window, Window::Open)
    }

    /// Counts what has come since the last look.
    pub(super) fn look(&mut self, capture: &Capture, at_ms: u64, after: &[String]) -> Result<()> {
        let Window::Closed(since) = &self.window else {
            return Ok(());
        };
        let now = capture.tally()?;
        let new = now.since(since);
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
    pub(super) fn open(&mut self) {
        self.window = Window::Open;
    }

    /// Nothing may any more.
    pub(super) fn close(&mut self, capture: &Capture) -> Result<()> {
        self.window = Window::Closed(Box::new(capture.tally()?));
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
