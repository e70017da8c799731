//! A test harness for cases that need a world: none is ever silently skipped.

mod progress;

use std::fmt;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use vpnm_world::privilege::{self, Privilege};

use self::progress::Progress;

/// Set to `require`, a case that would be skipped fails.
const VARIABLE: &str = "VPNM_LAB";

type Run<'a> = Box<dyn Fn(&Options) -> anyhow::Result<()> + Sync + 'a>;

/// A case and its name.
pub struct Case<'a> {
    /// Shown, and matched by filters on the command line.
    pub name: String,
    row: Option<u8>,
    run: Run<'a>,
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Case<'a> {
    /// A case that passes when `run` returns without error.
    pub fn new(
        name: impl Into<String>,
        run: impl Fn(&Options) -> anyhow::Result<()> + Sync + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            row: None,
            run: Box::new(run),
        }
    }

    /// The same case, which belongs to a row of the leak matrix.
    #[must_use]
    pub fn of_row(self, row: u8) -> Self {
        Self {
            row: Some(row),
            ..self
        }
    }
}

/// What the command line asks for. Flags of the standard harness that make no
/// difference here are taken and ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Only cases whose name contains one of these; all if empty.
    pub filters: Vec<String>,
    /// Only cases of these rows of the leak matrix; all if empty.
    pub rows: Vec<u8>,
    /// Say what there is, run nothing.
    pub list: bool,
    /// One JSON object on standard output instead of a table.
    pub json: bool,
    /// Probes of every kind in an ordinary leak scenario, at least.
    pub probes: u64,
    /// Run leak scenarios against other protections too.
    pub compare: bool,
    /// Cases that run at a time, if that is asked for.
    pub jobs: Option<usize>,
    /// A directory for capture files, one for each case.
    pub captures: Option<std::path::PathBuf>,
    /// How long faults go on in a soak.
    pub soak: Option<Duration>,
    /// Which order of faults to take.
    pub seed: Option<u64>,
}

impl Options {
    /// Reads arguments, the program's name left out.
    ///
    /// # Errors
    ///
    /// For a flag that is not known or lacks its value.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            filters: Vec::new(),
            rows: Vec::new(),
            list: false,
            json: false,
            probes: 70,
            compare: false,
            jobs: None,
            captures: None,
            soak: None,
            seed: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                arguments
                    .next()
                    .ok_or_else(|| anyhow::anyhow!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--list" => options.list = true,
                "--json" => options.json = true,
                "--probes" => options.probes = value()?.parse()?,
                "--compare" => options.compare = true,
                "--jobs" => options.jobs = Some(value()?.parse()?),
                "--row" => options.rows.extend(numbers(&value()?)?),
                "--captures" => options.captures = Some(value()?.into()),
                "--soak" => options.soak = Some(minutes(&value()?)?),
                "--seed" => options.seed = Some(value()?.parse()?),
                "--test-threads" | "--color" | "--format" => drop(value()?),
                "--nocapture" | "--no-capture" | "--quiet" | "-q" | "--exact"
                | "--include-ignored" => {}
                flag if flag.starts_with("--test-threads=") || flag.starts_with("--color=") => {}
                flag if flag.starts_with('-') => anyhow::bail!("there is no flag {flag}"),
                filter => options.filters.push(filter.to_owned()),
            }
        }
        Ok(options)
    }

    fn selects(&self, case: &Case<'_>) -> bool {
        let is_of_row = case.row.is_some_and(|row| self.rows.contains(&row));
        (self.rows.is_empty() || is_of_row) && self.matches(&case.name)
    }

    fn matches(&self, name: &str) -> bool {
        let mut filters = self.filters.iter();
        self.filters.is_empty() || filters.any(|filter| name.contains(filter.as_str()))
    }
}

/// `1,12` or `5-8`, or both.
fn numbers(text: &str) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.parse::<u8>()?..=last.parse()?;
        ensure!(!range.is_empty(), "{part} ends before it begins");
        all.extend(range);
    }
    Ok(all)
}

fn minutes(text: &str) -> anyhow::Result<Duration> {
    let minutes: f64 = text.parse()?;
    Ok(Duration::try_from_secs_f64(minutes * 60.0)?)
}

/// The error of a case that cannot run here.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl std::error::Error for Skip {}

/// How the cases ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// What a whole run came to, before anything is said about it.
#[derive(Debug)]
pub enum Outcome {
    /// The cases ran here.
    Ran {
        /// None failed.
        passed: bool,
    },
    /// Everything has been done and said by another process.
    Elsewhere(ExitCode),
}

/// Runs the selected cases, as many at a time as asked for, and says so on
/// standard error.
///
/// # Errors
///
/// When standard error cannot be written.
pub fn run(options: &Options, cases: &[Case<'_>]) -> io::Result<Outcome> {
    let selected: Vec<&Case<'_>> = cases.iter().filter(|case| options.selects(case)).collect();
    if options.list {
        for case in &selected {
            say(&format!("{}: test\n", case.name))?;
        }
        return Ok(Outcome::Ran { passed: true });
    }
    let forbidden = match privilege::ensure() {
        Ok(Privilege::Held) => None,
        Ok(Privilege::Delegated(status)) => {
            let code = status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(1);
            return Ok(Outcome::Elsewhere(ExitCode::from(code)));
        }
        Err(error) => Some(error.to_string()),
    };
    let required = std::env::var_os(VARIABLE).is_some_and(|value| value == "require");
    let next = AtomicUsize::new(0);
    let count = Mutex::new(Count::default());
    let progress = Progress::of(selected.len());
    let work = || -> io::Result<()> {
        while let Some(case) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            progress.begins(&case.name);
            let verdict = match &forbidden {
                Some(reason) => Err(Skip(reason.clone()).into()),
                None => attempt(case, options),
            };
            let seconds = start.elapsed().as_secs_f32();
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            let ending = count.add(verdict, required, seconds);
            progress.ends(&case.name, &format!("{} ... {ending}", case.name))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let told = scope.spawn(|| progress.tell());
        let jobs = options.jobs.unwrap_or(1).max(1);
        let mut workers = Vec::with_capacity(jobs);
        for _ in 0..jobs {
            workers.push(scope.spawn(work));
        }
        let ended: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        progress.is_over();
        ended
            .into_iter()
            .chain([told.join()])
            .try_for_each(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let Count {
        passed,
        failed,
        skipped,
    } = count.into_inner().unwrap_or_else(PoisonError::into_inner);
    say(&format!(
        "{passed} passed, {failed} failed, {skipped} skipped\n"
    ))?;
    Ok(Outcome::Ran {
        passed: failed == 0,
    })
}

impl Count {
    /// Counts an ending, and puts it into words.
    fn add(&mut self, verdict: anyhow::Result<()>, required: bool, seconds: f32) -> String {
        match verdict {
            Ok(()) => {
                self.passed += 1;
                format!("ok ({seconds:.1} s)\n")
            }
            Err(error) if error.is::<Skip>() && !required => {
                self.skipped += 1;
                format!("SKIP {error}\n")
            }
            Err(error) => {
                self.failed += 1;
                format!("FAILED ({seconds:.1} s)\n    {}\n", chain(&error))
            }
        }
    }
}

fn attempt(case: &Case<'_>, options: &Options) -> anyhow::Result<()> {
    // A case owns its world: what a panic leaves half done goes with it.
    catch_unwind(AssertUnwindSafe(|| (case.run)(options)))
        .unwrap_or_else(|_| Err(anyhow::anyhow!("it panicked; the message is above")))
}

fn chain(error: &anyhow::Error) -> String {
    let lines: Vec<String> = error.chain().map(ToString::to_string).collect();
    lines.join("\n    because ").replace('\n', "\n    ")
}

fn say(text: &str) -> io::Result<()> {
    let mut stream = io::stderr().lock();
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> anyhow::Result<Options> {
        Options::parse(arguments.iter().map(|&argument| argument.to_owned()))
    }

    #[test]
    fn flags_of_the_standard_harness_are_no_filters() {
        let options = parse(&["--nocapture", "--test-threads", "1", "engine"]).expect("parsed");
        assert_eq!(options.filters, ["engine"]);
        assert!(options.matches("1 engine killed") && !options.matches("18 nft"));
    }

    #[test]
    fn rows_are_named_by_number_alone() {
        let options = parse(&["--row", "1,12", "--row", "5-7"]).expect("parsed");
        assert_eq!(options.rows, [1, 12, 5, 6, 7]);
        let case = |row| Case::new("a case", |_| Ok(())).of_row(row);
        assert!(options.selects(&case(12)) && !options.selects(&case(2)));
        assert!(!options.selects(&Case::new("row 12", |_| Ok(()))));
        for wrong in ["first", "7-5", "", "300"] {
            assert!(parse(&["--row", wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_flags_are_refused() {
        assert!(parse(&["--bogus"]).is_err());
        assert!(parse(&["--probes"]).is_err());
        assert_eq!(parse(&["--probes", "7"]).expect("parsed").probes, 7);
    }
}
