//! What the engine writes, as records of the daemon's own log.
//!
//! The engine may be in the hands of whoever it spoke with: what it writes is bounded
//! in length and number, and holds nothing that a terminal would take for a command.

use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Longest line that is kept whole, in bytes; what is longer is cut.
const LONGEST: usize = 2_048;
/// Lines that are passed on in one [`SPAN`], unless everything is asked for.
const MOST: u32 = 500;
const SPAN: Duration = Duration::from_secs(10);

/// Passes on what comes, until its end.
pub(super) async fn pass_on(mut from: impl AsyncRead + Unpin) {
    let mut lines = Lines::default();
    let mut allowance = Allowance::new(Instant::now());
    let mut chunk = [0; LONGEST];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        for line in lines.take(chunk.get(..read).unwrap_or_default()) {
            let is_verbose = LevelFilter::current() > LevelFilter::INFO;
            match allowance.claim(Instant::now()) {
                Claim::Granted { missed: 0 } => say(&line),
                Claim::Granted { missed } => {
                    tracing::warn!(missed, "the engine wrote more than is kept");
                    say(&line);
                }
                Claim::Denied if is_verbose => say(&line),
                Claim::Denied => {}
            }
        }
    }
}

fn say(line: &str) {
    let (level, text) = record(line);
    match level {
        Level::ERROR => tracing::error!("engine: {text}"),
        Level::WARN => tracing::warn!("engine: {text}"),
        Level::INFO => tracing::info!("engine: {text}"),
        Level::DEBUG => tracing::debug!("engine: {text}"),
        Level::TRACE => tracing::trace!("engine: {text}"),
    }
}

/// A record begins with its level; anything else is the last word of a process.
fn record(line: &str) -> (Level, &str) {
    let line = line.trim();
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match first.parse() {
        Ok(level) => (level, rest.trim_start()),
        Err(_) => (Level::WARN, line),
    }
}

/// Makes lines of what comes.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that end in these bytes.
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.begun);
                whole.extend(Some(printable(&line)).filter(|line| !line.is_empty()));
            } else if self.begun.len() < LONGEST {
                self.begun.push(*byte);
            }
        }
        whole
    }
}

fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let is_command = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(is_command).collect::<String>()
}

/// How many lines may still be passed on.
#[derive(Debug)]
struct Allowance {
    since: Instant,
    used: u32,
    missed: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Claim {
    /// It may; so many before it were not.
    Granted {
        missed: u64,
    },
    Denied,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            used: 0,
            missed: 0,
        }
    }

    fn claim(&mut self, now: Instant) -> Claim {
        if now.saturating_duration_since(self.since) >= SPAN {
            (self.since, self.used) = (now, 0);
        }
        if self.used == MOST {
            self.missed += 1;
            return Claim::Denied;
        }
        self.used += 1;
        Claim::Granted {
            missed: std::mem::take(&mut self.missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_bounded_and_harmless() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b" INFO one\n WA"), [" INFO one"]);
        assert_eq!(lines.take(b"RN two\n\n"), [" WARN two"]);
        let title = lines.take(b"\x1b]0;title\x07\r\xff\n");
        assert_eq!(title, [" ]0;title  \u{fffd}"]);
        assert!(lines.take(&[b'a'; 3 * LONGEST]).is_empty());
        let [cut] = &lines.take(b"b\n")[..] else {
            panic!("one line");
        };
        assert_eq!(cut.len(), LONGEST);
    }

    #[test]
    fn a_record_has_the_level_it_was_written_at() {
        assert_eq!(record(" INFO it is up"), (Level::INFO, "it is up"));
        assert_eq!(record("ERROR x"), (Level::ERROR, "x"));
        assert_eq!(record("DEBUG"), (Level::DEBUG, ""));
        let panic = "thread 'main' panicked at src/main.rs:1:";
        assert_eq!(record(panic), (Level::WARN, panic));
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        for _ in 0..MOST {
            assert_eq!(allowance.claim(begin), Claim::Granted { missed: 0 });
        }
        assert_eq!(allowance.claim(begin), Claim::Denied);
        assert_eq!(allowance.claim(begin), Claim::Denied);
        let later = begin + SPAN;
        assert_eq!(allowance.claim(later), Claim::Granted { missed: 2 });
        assert_eq!(allowance.claim(later), Claim::Granted { missed: 0 });
    }
}
