//! The engine's process, seen from outside.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use vpnm_lab::machine::{status_field, wait_for};

use crate::scene::{PATIENCE, Scene, connected};

pub(crate) const CASES: &[Scene] = &[
    (
        "the engine has nothing of the daemon's terminal",
        has_no_terminal,
    ),
    ("an engine without work sleeps", sleeps),
];

/// Whoever takes the engine over must not be able to write to, or read from, the
/// terminal of the administrator who started the daemon by hand.
fn has_no_terminal() -> Result<()> {
    let session = connected()?;
    let engine = session.engine_pid()?;
    let of = |pid: u32, fd: u32| std::fs::read_link(format!("/proc/{pid}/fd/{fd}"));
    let daemons: Vec<PathBuf> = (0..3)
        .map(|fd| of(session.daemon_pid()?, fd).map_err(Into::into))
        .collect::<Result<_>>()?;
    for fd in 0..3 {
        let place = of(engine, fd)?;
        let is_nowhere = place == Path::new("/dev/null");
        let is_own_pipe = place.to_string_lossy().starts_with("pipe:");
        ensure!(
            is_nowhere || (is_own_pipe && !daemons.contains(&place)),
            "descriptor {fd} is {}",
            place.display()
        );
    }
    session.end()?;
    Ok(())
}

/// How long is waited for work that is not there.
const REST: Duration = Duration::from_secs(5);
/// Wake-ups that may happen meanwhile: a sign of life, each with its answer.
const WAKE_UPS: u64 = 4;

fn sleeps() -> Result<()> {
    let session = connected()?;
    let engine = session.engine_pid()?;
    let woken = || -> Result<u64> { Ok(status_field(engine, "voluntary_ctxt_switches")?.parse()?) };
    // What begins with the tunnel comes to an end: probes, names, the kernel's own packets.
    wait_for("an engine that sleeps", 2 * PATIENCE, || {
        let before = woken()?;
        thread::sleep(REST);
        Ok((woken()? - before <= WAKE_UPS).then_some(()))
    })?;
    session.check_tunnel()?;
    session.end()?;
    Ok(())
}
