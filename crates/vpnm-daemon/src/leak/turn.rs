//! Attempts and the opening of the machine take turns: what is under way when the block
//! goes would leave, and be no leak.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by who makes attempts and who opens the machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn(Arc<Mutex<Open>>);

/// Whether the machine is open, or about to be.
#[derive(Debug, Default)]
pub(crate) struct Open(bool);

impl Turn {
    /// Held while attempts are made; none on a machine that is open.
    pub(crate) fn to_attempt(&self) -> Option<MutexGuard<'_, Open>> {
        Some(self.lock()).filter(|open| !open.0)
    }

    /// Waits for the attempts under way, usually some milliseconds; from then on there
    /// are none.
    pub(crate) fn open(&self) {
        self.lock().0 = true;
    }

    /// The block stands: attempts may be made.
    pub(crate) fn close(&self) {
        self.lock().0 = false;
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use super::Turn;

    #[test]
    fn who_opens_waits_for_attempts_and_lets_none_begin() {
        let turn = Turn::default();
        let (told, hears) = sync_channel(2);
        let held = turn.to_attempt().expect("nothing is open");
        let opener = {
            let (turn, told) = (turn.clone(), told.clone());
            thread::spawn(move || {
                turn.open();
                told.send("opened").unwrap();
            })
        };
        told.send("attempted").unwrap();
        drop(held);
        opener.join().unwrap();
        assert_eq!(
            [hears.recv(), hears.recv()],
            [Ok("attempted"), Ok("opened")]
        );
        assert!(turn.to_attempt().is_none());
        turn.close();
        assert!(turn.to_attempt().is_some());
    }
}
