//! A line that is drawn over itself while something takes its time.

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Output, Paint, Style};

/// What finishes sooner is not worth a line.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two frames of the spinner.
const FRAME: Duration = Duration::from_millis(100);
const FRAMES: [&str; 4] = ["|", "/", "-", "\\"];

/// Shows on a terminal what is being waited for, once it takes more than a
/// second. The line is wiped when the value is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    shared: Arc<Shared>,
    drawer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Debug)]
struct Line {
    text: String,
    finished: bool,
}

impl Shared {
    /// A panic elsewhere leaves the line readable.
    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Starts to wait, for `text`.
    pub(crate) fn start(output: &Output, text: &str) -> Self {
        let shared = Arc::new(Shared {
            line: Mutex::new(Line {
                text: text.to_owned(),
                finished: false,
            }),
            changed: Condvar::new(),
        });
        let drawer = output.is_interactive().then(|| {
            let shared = Arc::clone(&shared);
            let style = output.error_style();
            std::thread::spawn(move || draw(&shared, style))
        });
        Self { shared, drawer }
    }

    /// A handle for another thread that says what is waited for.
    pub(crate) fn reporter(&self) -> Reporter {
        Reporter(Arc::clone(&self.shared))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.shared.line().finished = true;
        self.shared.changed.notify_all();
        if let Some(drawer) = self.drawer.take() {
            // The drawer only writes; had it panicked, there is no line to wipe.
            let _ended = drawer.join();
        }
    }
}

/// Says what is being waited for.
#[derive(Debug, Clone)]
pub(crate) struct Reporter(Arc<Shared>);

impl Reporter {
    /// Replaces the text of the line.
    pub(crate) fn report(&self, text: &str) {
        let mut line = self.0.line();
        line.text.clear();
        line.text.push_str(text);
    }
}

/// Draws until finished. A terminal that cannot be written to is no reason to
/// fail, so errors end the drawing and nothing else.
fn draw(shared: &Shared, style: Style) {
    let started = Instant::now();
    let mut drawn = false;
    let mut frames = FRAMES.iter().cycle();
    let mut line = shared.line();
    while !line.finished {
        let elapsed = started.elapsed();
        if elapsed >= PATIENCE {
            let frame = style.paint(Paint::Busy, frames.next().copied().unwrap_or_default());
            let seconds = format!("{} s", elapsed.as_secs());
            let text = format!(
                "\r\x1b[2K{frame} {}  {}",
                line.text,
                style.paint(Paint::Faint, &seconds)
            );
            if put(&text).is_err() {
                return;
            }
            drawn = true;
        }
        let pause = if drawn {
            FRAME
        } else {
            PATIENCE.saturating_sub(elapsed).max(FRAME)
        };
        line = match shared.changed.wait_timeout(line, pause) {
            Ok((line, _)) => line,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
    drop(line);
    if drawn {
        let _wiped = put("\r\x1b[2K");
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut stream = io::stderr().lock();
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
