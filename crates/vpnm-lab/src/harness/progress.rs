//! What is going on: a line for each case that has ended, and on a terminal one below
//! them that tells every second which cases run, and for how long.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time between two looks at what runs.
const TICK: Duration = Duration::from_secs(1);
/// Longest line of what runs, in letters: any terminal has room for it.
const WIDTH: usize = 79;
/// Back to the start of the line, and all of it gone.
const CLEAR: &str = "\r\x1b[2K";

#[derive(Debug, Default)]
struct State {
    running: Vec<(String, Instant)>,
    ended: usize,
    is_over: bool,
}

/// The cases that run, of so many.
#[derive(Debug)]
pub(super) struct Progress {
    total: usize,
    is_live: bool,
    state: Mutex<State>,
    over: Condvar,
}

impl Progress {
    pub(super) fn of(total: usize) -> Self {
        Self {
            total,
            is_live: io::stderr().is_terminal(),
            state: Mutex::default(),
            over: Condvar::new(),
        }
    }

    pub(super) fn begins(&self, name: &str) {
        self.lock().running.push((name.to_owned(), Instant::now()));
    }

    /// A case has ended: `text` is its line.
    pub(super) fn ends(&self, name: &str, text: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.running.retain(|(running, _)| running != name);
        state.ended += 1;
        let clear = if self.is_live { CLEAR } else { "" };
        write(&format!("{clear}{text}"))
    }

    /// Nothing runs any more.
    pub(super) fn is_over(&self) {
        self.lock().is_over = true;
        self.over.notify_all();
    }

    /// Tells what runs until all is over; nothing where nobody watches.
    pub(super) fn tell(&self) -> io::Result<()> {
        if !self.is_live {
            return Ok(());
        }
        let mut state = self.lock();
        while !state.is_over {
            let waited = self.over.wait_timeout(state, TICK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            write(&format!("{CLEAR}{}", line(&state, self.total)))?;
        }
        write(CLEAR)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(state: &State, total: usize) -> String {
    let running = state.running.iter().map(|(name, since)| {
        let name = name.split(':').next().unwrap_or(name);
        format!("{name} ({} s)", since.elapsed().as_secs())
    });
    let running = running.collect::<Vec<_>>().join(", ");
    let line = format!("{} of {total} done; {running}", state.ended);
    line.chars().take(WIDTH).collect()
}

fn write(text: &str) -> io::Result<()> {
    let mut stream = io::stderr().lock();
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_told_in_one_line() {
        let progress = Progress::of(12);
        progress.begins("row 7: server switched a hundred times");
        progress.begins("rules alone, row 13: a public prefix");
        let text = line(&progress.lock(), progress.total);
        assert_eq!(text, "0 of 12 done; row 7 (0 s), rules alone, row 13 (0 s)");
        for number in 0..20 {
            progress.begins(&format!("case {number}"));
        }
        let text = line(&progress.lock(), progress.total);
        assert_eq!(text.chars().count(), WIDTH);
    }
}
