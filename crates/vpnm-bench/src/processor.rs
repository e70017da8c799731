//! What a process has used, and where it may run.

use std::fs;

use anyhow::Context as _;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Processor seconds of a process, user and system, its children not counted.
pub(crate) fn seconds(pid: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for task in tasks(pid)? {
        // A thread that has ended meanwhile took next to nothing.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")) else {
            continue;
        };
        let ran = text
            .split_whitespace()
            .next()
            .context("malformed schedstat")?;
        nanoseconds += ran.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

/// How often the threads of a process have gone to sleep, that is have been woken.
pub(crate) fn sleeps(pid: u32) -> anyhow::Result<f64> {
    let mut sleeps = 0.0;
    for task in tasks(pid)? {
        let path = format!("/proc/{pid}/task/{task}/status");
        sleeps += field(&path, "voluntary_ctxt_switches:")?;
    }
    Ok(sleeps)
}

/// Resident memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> anyhow::Result<f64> {
    field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// How many descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> anyhow::Result<f64> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).context("the engine has gone")?;
    Ok(f64::from(u32::try_from(open.count())?))
}

fn field(path: &str, name: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(path).context("the engine has gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let text = line.with_context(|| format!("no {name}"))?;
    Ok(text.trim().trim_end_matches(" kB").trim().parse()?)
}

fn tasks(pid: u32) -> anyhow::Result<Vec<u32>> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).context("the engine has gone")?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.collect())
}

/// Everybody on one processor, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Pinned {
    processes: Vec<u32>,
    before: CpuSet,
}

impl Pinned {
    /// Moves the engine, the servers and the loads to the first processor they may use.
    pub(crate) fn new(engine: Option<u32>) -> anyhow::Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut one = CpuSet::new();
        let first = (0..CpuSet::MAX_CPU).find(|number| before.is_set(*number));
        one.set(first.context("no processor may be used")?);
        let processes = engine.into_iter().chain([std::process::id()]).collect();
        let pinned = Self { processes, before };
        pinned.set(&one)?;
        Ok(pinned)
    }

    fn set(&self, to: &CpuSet) -> anyhow::Result<()> {
        for process in &self.processes {
            for task in tasks(*process)? {
                let task = i32::try_from(task).ok().and_then(Pid::from_raw);
                sched_setaffinity(task, to)?;
            }
        }
        Ok(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Err(error) = self.set(&self.before) {
            crate::report::complain(&error.context("some threads stay on one processor"));
        }
    }
}
