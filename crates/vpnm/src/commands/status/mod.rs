//! `vpnm status`

mod render;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vpnm_api::Status;

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Flag, Group};
use crate::control;
use crate::exit::Exit;
use crate::output::{Failure, Output, OutputError, Paint, Problem};

const WATCH: Flag = Flag {
    long: "watch",
    short: Some('w'),
    value: None,
    summary: "Go on, with a line for every change of the state",
    details: "With --json there is a line for every change of any field, with the whole status. \
              It ends with Ctrl-C.",
};

pub(super) const COMMAND: Command = Command {
    name: "status",
    group: Group::Tunnel,
    summary: "Show the tunnel: its state, what was verified, what to type",
    about: "\
Says \"connected\" only of what was verified end to end. Users who are neither root nor in the \
group vpnm see neither the server nor addresses.",
    operands: &[],
    flags: &[&WATCH],
    examples: &[
        (
            "vpnm status --json | jq -r .state.name",
            "The state, for a script",
        ),
        ("vpnm status --watch", "Follow every change"),
    ],
};

pub(super) fn run(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let mut tunnel = control::open()?;
    if matches.has(&WATCH) {
        let events = tunnel
            .watch()
            .map_err(|error| control::refused("the daemon does not report", error))?;
        let mut shown = None;
        for status in events {
            let status =
                status.map_err(|error| control::refused("the daemon stopped to report", error))?;
            // People are told of states, not of every byte.
            if context.output.is_json() || shown.as_ref() != Some(&status.state) {
                report(&context.output, &status)?;
            }
            shown = Some(status.state);
        }
        return Err(Problem::new(
            Exit::Daemon,
            "daemon_lost",
            "the daemon stopped to report",
            "it ended",
            "vpnm status",
        )
        .into());
    }
    let status = tunnel
        .status()
        .map_err(|error| control::refused("the daemon did not say how things are", error))?;
    show(&context.output, &status)?;
    Ok(Exit::Success)
}

/// The whole picture.
pub(super) fn show(output: &Output, status: &Status) -> Result<(), OutputError> {
    output.text(render::full(status, now().as_secs(), output.style()))?;
    output.json(status)
}

/// One line.
fn report(output: &Output, status: &Status) -> Result<(), OutputError> {
    let now = now();
    let style = output.style();
    let clock = render::clock(now.as_secs());
    output.line(format!(
        "{}  {}",
        style.paint(Paint::Faint, &clock),
        render::headline(&status.state, now.as_secs(), style)
    ))?;
    output.json(status)
}

/// The time since 1970-01-01 UTC.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
