//! `vpnm cleanup`

use serde::Serialize;
use vpnm_daemon::{CleanupError, Options};
use vpnm_host::{HostError, ReachError};

use super::{Context, daemon};
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::output::{Failure, Problem, chain};

pub(super) const COMMAND: Command = Command {
    name: "cleanup",
    group: Group::System,
    summary: "Take away everything vpnm set up on this machine, and open it",
    about: "\
For when the daemon is gone for good, or cannot be trusted any more: filter tables, rules, routes \
and the interface are found by their reserved names, so nothing has to be remembered. Settings \
stay. Needs root, and a daemon that does not run.",
    operands: &[],
    flags: &[],
    examples: &[(
        "sudo systemctl stop vpnmd.socket vpnmd && sudo vpnm cleanup",
        "Open the machine without the daemon",
    )],
};

#[derive(Serialize)]
struct Removed {
    removed: Vec<String>,
}

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    let removed = vpnm_daemon::cleanup(&Options::default()).map_err(|error| problem(&error))?;
    for line in &removed {
        context.output.line(line)?;
    }
    context.output.line(if removed.is_empty() {
        "nothing of vpnm was here"
    } else {
        "the machine is open and as it was without vpnm"
    })?;
    context.output.json(&Removed { removed })?;
    Ok(Exit::Success)
}

/// Why something of vpnm is still there.
pub(super) fn problem(error: &CleanupError) -> Problem {
    let what = "not everything was removed";
    match error {
        CleanupError::NotRoot => Problem::new(
            Exit::Denied,
            "not_permitted",
            "nothing was removed",
            "only root can change the network",
            "sudo vpnm cleanup",
        ),
        CleanupError::Lock(error) => daemon::locked("nothing was removed", error),
        CleanupError::Reach(ReachError::Plan(HostError::Owned { .. })) => Problem::new(
            Exit::State,
            "filter_owned",
            what,
            chain(error),
            "sudo pkill -xf 'vpnm keep'; sudo vpnm cleanup",
        ),
        CleanupError::Host(_) | CleanupError::Reach(_) => Problem::new(
            Exit::Machine,
            "host",
            what,
            chain(error),
            "sudo vpnm cleanup; if that does not help, restart the machine",
        ),
        CleanupError::Journal(_) => Problem::new(
            Exit::Failed,
            "journal",
            what,
            chain(error),
            "sudo rm -r /var/lib/vpnm/journal; sudo vpnm cleanup",
        ),
    }
}
