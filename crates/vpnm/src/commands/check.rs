//! `vpnm check`

use serde::Serialize;
use vpnm_daemon::leak;

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::output::{Failure, Problem, chain};

pub(super) const COMMAND: Command = Command {
    name: "check",
    group: Group::System,
    summary: "Try to get past the block, and see whether anything does",
    about: "\
Sends UDP, TCP and DNS by every interface and every address of this machine, from a user of its \
own (number 7671), and a raw frame as root, and listens behind the packet filter on every interface \
for what really leaves. It does not ask the daemon, which may be the one that fails. The attempts go \
to documentation addresses: past the tunnel no further than the next router, in the tunnel no further \
than the engine. One that cannot be tried, because its interface or address went away meanwhile, is \
named.

A machine without a tunnel and without lockdown is open, and everything leaves it: this fails there.",
    operands: &[],
    flags: &[],
    examples: &[("sudo vpnm check", "Prove that nothing leaves")],
};

#[derive(Serialize)]
struct Checked<'a> {
    attempts: usize,
    untried: &'a [String],
    leaked: &'a [String],
}

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    if !rustix::process::geteuid().is_root() {
        let why = "only root sees what leaves this machine";
        let what = "nothing was checked";
        return Err(
            Problem::new(Exit::Denied, "not_permitted", what, why, "sudo vpnm check").into(),
        );
    }
    let report = leak::check().map_err(|error| {
        let what = "it is not known whether anything leaves";
        Problem::new(Exit::Failed, "check", what, chain(&error), "vpnm doctor")
    })?;
    context.output.json(&Checked {
        attempts: report.attempts,
        untried: &report.untried,
        leaked: &report.leaked,
    })?;
    for untried in &report.untried {
        context
            .output
            .line(format!("could not be tried: {untried}"))?;
    }
    if report.leaked.is_empty() {
        context
            .output
            .line(format!("none of {} attempts got out", report.attempts))?;
        return Ok(Exit::Success);
    }
    for leaked in &report.leaked {
        context
            .output
            .line(format!("left this machine: {leaked}"))?;
    }
    context.output.line(format!(
        "{} of {} attempts got out past the tunnel; vpnm status says whether this machine is to be secured",
        report.leaked.len(),
        report.attempts
    ))?;
    Ok(Exit::Failed)
}
