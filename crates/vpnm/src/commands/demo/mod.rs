//! `vpnm demo`

mod report;
mod screen;
mod stage;
mod story;

use std::path::Path;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vpnm_world::privilege::{self, Privilege, PrivilegeError};

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::exit::Exit;
use crate::output::{Failure, Output, Problem};
use screen::Screen;

pub(super) const COMMAND: Command = Command {
    name: "demo",
    group: Group::Tools,
    summary: "Show all of it in a small world of its own, in seconds",
    about: "\
Builds a client, a router with a packet capture and an internet with a web site, resolvers and a \
proxy server, in network namespaces of its own. Runs the real daemon and engine there: connects, \
fetches a page, resolves a name, measures, kills the engine in the middle of a transfer while a \
thousand probes try to get past the tunnel, disconnects, and counts every packet on the wire.

It needs no server, no account and no network, touches nothing of this machine, and leaves nothing \
behind, however it ends. It runs as root, or as a user who may make user namespaces. With --json \
it prints one object with everything that was measured; it fails if anything did not hold.",
    operands: &[],
    flags: &[],
    examples: &[
        ("sudo vpnm demo", "See it work"),
        (
            "sudo vpnm demo --json | jq .leaked_packets",
            "Only the number that matters",
        ),
    ],
};

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    if !Path::new("/dev/net/tun").exists() {
        return Err(Problem::new(
            Exit::Machine,
            "no_tun_device",
            "the demo cannot run here",
            "this machine has no /dev/net/tun",
            "sudo modprobe tun; for a container: --device /dev/net/tun",
        )
        .into());
    }
    match privilege::ensure() {
        Ok(Privilege::Held) => {}
        Ok(Privilege::Delegated(status)) => return Ok(Exit::of(status)),
        Err(error) => return Err(refused(&error).into()),
    }
    end_on_interrupt(context.output).map_err(|error| stage::broken("Ctrl-C", &error))?;
    let report = story::tell(&mut Screen::new(context.output))?;
    context.output.json(&report)?;
    if report.ok {
        return Ok(Exit::Success);
    }
    if !context.output.is_json() {
        context.output.problem(&Problem::new(
            Exit::Failed,
            "demo_failed",
            "the demo ran, but not everything held",
            report.failures.join("\n"),
            "vpnm demo --json",
        ))?;
    }
    Ok(Exit::Failed)
}

/// Why the world cannot be built, and what would help.
fn refused(error: &PrivilegeError) -> Problem {
    let sudo = "the same command with sudo";
    let (why, next) = match error {
        PrivilegeError::Forbidden(source) => (
            format!("root may make no namespaces here: {source}"),
            "for a container: --cap-add NET_ADMIN --cap-add SYS_ADMIN --device /dev/net/tun",
        ),
        PrivilegeError::Tun(source) => (
            format!("this user may not open /dev/net/tun: {source}"),
            sudo,
        ),
        PrivilegeError::NoSubordinates { file } => (
            format!("this user has too few subordinate ids in {file} for users of its own"),
            sudo,
        ),
        PrivilegeError::Namespace(source) => (
            format!("this user may make no namespaces here: {source}"),
            sudo,
        ),
    };
    Problem::new(
        Exit::Denied,
        "not_permitted",
        "the demo may not build its world here",
        why,
        next,
    )
}

/// Ctrl-C ends the demo at once. Everything it made belongs to its processes:
/// the kernel kills those with this one, and takes the namespaces away.
fn end_on_interrupt(output: Output) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            let problem = Problem::new(
                Exit::Interrupted,
                "interrupted",
                "the demo was stopped",
                "Ctrl-C; nothing is left behind",
                "vpnm demo",
            );
            // The end is the same if nobody can be told.
            let _untold = output.problem(&problem);
            #[expect(clippy::exit, reason = "the story may be waiting for a transfer")]
            std::process::exit(Exit::Interrupted.code().into());
        }
    });
    Ok(())
}
