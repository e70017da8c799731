//! `vpnm daemon`

use vpnm_daemon::{DaemonError, LockError, Options};

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Flag, Group};
use crate::exit::Exit;
use crate::logging;
use crate::output::{Failure, Problem, chain};

pub(super) const COMMAND: Command = Command {
    name: "daemon",
    group: Group::System,
    summary: "Run the daemon, which the other commands ask",
    about: "\
Runs in the foreground, as root, until SIGTERM or Ctrl-C; a service manager is told when it is \
ready. The program called as \"vpnmd\" is the daemon, too.

If the machine was to be secured when the daemon last ran, it is blocked before anything else is \
done, and connected again. Ending the daemon opens nothing: what was blocked stays blocked until \
it runs again, or until \"vpnm cleanup\". Where no systemd keeps the packet filter for it, a small \
process (\"vpnm keep\") stays behind for that time, so that nobody else can flush it.",
    operands: &[],
    flags: &[&BLOCK, &logging::LEVEL],
    examples: &[
        ("sudo vpnm daemon", "Run it by hand"),
        (
            "sudo systemctl enable --now vpnmd",
            "Run it now and at every start, before the network is up",
        ),
    ],
};

const BLOCK: Flag = Flag {
    long: "block",
    short: None,
    value: None,
    summary: "Only block the machine, if it is to be secured, and end",
    details: "For the start of the system, before the network is up and the daemon runs. Nothing but \
              what the daemon remembers is read; where that cannot be read, the machine is blocked.",
};

pub(super) fn run(_: &Context, matches: &Matches) -> Result<Exit, Failure> {
    logging::start(matches);
    let options = Options::default();
    let ended = if matches.has(&BLOCK) {
        match vpnm_daemon::block(&options) {
            // Who runs already sees to it.
            Err(DaemonError::Lock(LockError::Held { .. })) => Ok(()),
            blocked => blocked.map(|blocked| {
                tracing::info!(blocked, "the machine before its network is up");
            }),
        }
    } else {
        vpnm_daemon::run(&options)
    };
    match ended {
        Ok(()) => Ok(Exit::Success),
        Err(error) => Err(problem(&error).into()),
    }
}

fn problem(error: &DaemonError) -> Problem {
    let what = "the daemon does not run";
    match error {
        DaemonError::NotRoot => Problem::new(
            Exit::Denied,
            "not_permitted",
            what,
            "only root can change the network",
            "sudo vpnm daemon",
        ),
        DaemonError::Lock(error) => locked(what, error),
        DaemonError::Host(_) => Problem::new(
            Exit::Machine,
            "host",
            what,
            chain(error),
            "vpnm doctor; in a container: --cap-add NET_ADMIN --device /dev/net/tun",
        ),
        DaemonError::Unprotected(failure) => Problem::new(
            Exit::Machine,
            failure.code.name(),
            "this machine is to be secured and could not be blocked: traffic may leave in the clear",
            failure.to_string(),
            failure.hint(),
        ),
        DaemonError::System { .. } | DaemonError::Service(_) => Problem::new(
            Exit::Failed,
            "daemon_failed",
            what,
            chain(error),
            "vpnm doctor",
        ),
    }
}

/// Another daemon runs, or it cannot be told.
pub(super) fn locked(what: &str, error: &LockError) -> Problem {
    match error {
        LockError::Held { pid } => Problem::new(
            Exit::State,
            "daemon_runs",
            what,
            chain(error),
            pid.map_or_else(
                || "sudo systemctl stop vpnmd.socket vpnmd".to_owned(),
                |pid| format!("vpnm status; to end that one: sudo kill {pid}"),
            ),
        ),
        LockError::Io { path, .. } => Problem::new(
            Exit::Failed,
            "lock",
            what,
            chain(error),
            format!("ls -ld {}", path.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_of_the_first() {
        let problem = locked("no", &LockError::Held { pid: Some(77) });
        assert_eq!(problem.exit, Exit::State);
        assert!(problem.why.contains("77") && problem.next.contains("kill 77"));
    }

    #[test]
    fn who_is_not_root_is_told_to_be() {
        let problem = problem(&DaemonError::NotRoot);
        assert_eq!(
            (problem.exit, problem.next.as_str()),
            (Exit::Denied, "sudo vpnm daemon")
        );
    }
}
