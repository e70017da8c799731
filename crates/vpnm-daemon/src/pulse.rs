//! Whether the daemon's heart beats, for the service manager's watchdog.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc::Sender;

use crate::request::{Beat, Request};

/// Asks the heart for a beat each time it is asked itself whether the last one came.
#[derive(Debug)]
pub(crate) struct Pulse {
    requests: Sender<Request>,
    beaten: Arc<AtomicBool>,
}

impl Pulse {
    /// The pulse of the heart that takes these requests.
    pub(crate) fn of(requests: Sender<Request>) -> Self {
        Self {
            requests,
            beaten: Arc::new(AtomicBool::new(true)),
        }
    }

    /// Whether the heart has beaten since this was asked last.
    pub(crate) fn beats(&self) -> bool {
        let beaten = self.beaten.swap(false, Ordering::AcqRel);
        // A full queue is one that the heart does not empty.
        let asked = self
            .requests
            .try_send(Request::Beat(Beat::new(&self.beaten)));
        beaten && asked.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_heart_that_does_not_come_to_its_beat_is_missed() {
        let (requests, mut asked) = channel(1);
        let pulse = Pulse::of(requests);
        assert!(pulse.beats(), "the first");
        match asked.try_recv() {
            Ok(Request::Beat(beat)) => beat.come(),
            other => panic!("{other:?}"),
        }
        assert!(pulse.beats(), "the second");
        assert!(!pulse.beats(), "nobody came to it");
        assert!(!pulse.beats(), "still nobody");
    }
}
