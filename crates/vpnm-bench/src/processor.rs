//! What a process has used.

use std::fs;

use anyhow::Context as _;

/// Processor seconds of a process, user and system, its children not counted.
pub(crate) fn seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the engine has gone")?;
    // The name in parentheses may hold spaces; fields are counted behind it.
    let (_, fields) = stat.rsplit_once(')').context("malformed stat")?;
    let field = |index: usize| -> anyhow::Result<f64> {
        let text = fields
            .split_whitespace()
            .nth(index)
            .context("malformed stat")?;
        Ok(text.parse()?)
    };
    let ticks = rustix::param::clock_ticks_per_second();
    Ok((field(11)? + field(12)?) / u32::try_from(ticks).map(f64::from)?)
}

/// Resident memory of a process in KiB.
pub(crate) fn resident(pid: u32) -> anyhow::Result<f64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the engine has gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let text = line.context("no VmRSS")?.trim().trim_end_matches(" kB");
    Ok(text.trim().parse()?)
}
