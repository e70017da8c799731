//! The daemon, as the commands reach it.

use std::io;
use std::path::Path;

use anyd::CallError;
use vpnm_api::tunnel::{CONTROL_GROUP, SOCKET, TunnelBlocking, TunnelError};
use vpnm_api::{Code, Failure, Note, State, Status};
use vpnm_host::accounts::group;
use vpnm_host::{Rule, names};

use crate::exit::Exit;
use crate::output::{Problem, chain};

/// Connects to the daemon, which root must serve.
pub(crate) fn open() -> Result<TunnelBlocking, Problem> {
    anyd::blocking::Client::open(SOCKET)
        .map(TunnelBlocking::from)
        .map_err(|error| unreachable(&error, is_closed()))
}

/// Whether our rules lead traffic away, which they do whether a daemon lives or not.
fn is_closed() -> bool {
    let is_ours = |rule: &Rule| {
        rule.protocol == names::PROTOCOL && names::RULE_PRIORITIES.contains(&rule.priority)
    };
    vpnm_host::look().is_ok_and(|seen| seen.rules.iter().any(is_ours))
}

/// Why there is no daemon to speak to.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumeration is open, and every other kind says enough itself"
)]
fn unreachable(error: &io::Error, is_closed: bool) -> Problem {
    let (mut meanwhile, mut start) = ("", start_daemon().to_owned());
    if is_closed {
        meanwhile = "; until it does, this machine is blocked";
        start.push_str("\nto open the network instead: sudo vpnm cleanup");
    }
    let (exit, why, next) = match error.kind() {
        io::ErrorKind::NotFound => (
            Exit::Daemon,
            format!("it does not run: there is no {SOCKET}{meanwhile}"),
            start,
        ),
        io::ErrorKind::ConnectionRefused => (
            Exit::Daemon,
            format!("it does not run: nobody listens at {SOCKET}{meanwhile}"),
            start,
        ),
        io::ErrorKind::PermissionDenied => {
            (Exit::Denied, error.to_string(), format!("ls -l {SOCKET}"))
        }
        _ => (Exit::Daemon, format!("{error}{meanwhile}"), start),
    };
    Problem::new(
        exit,
        "daemon_unreachable",
        "the daemon cannot be reached",
        why,
        next,
    )
}

/// What starts the daemon on this machine.
fn start_daemon() -> &'static str {
    let has_unit = ["/etc", "/usr/lib", "/lib"].iter().any(|place| {
        Path::new(place)
            .join("systemd/system/vpnmd.service")
            .exists()
    });
    if has_unit && Path::new("/run/systemd/system").exists() {
        "sudo systemctl start vpnmd"
    } else {
        "sudo vpnm daemon"
    }
}

/// Why the daemon did not do as asked. `what` did not happen.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enumeration is open, and every other error says enough itself"
)]
pub(crate) fn refused(what: &str, error: CallError<TunnelError>) -> Problem {
    match error {
        CallError::Remote(TunnelError::Failed { failure }) => failed(what, &failure),
        CallError::Denied { .. } => Problem::new(
            Exit::Denied,
            "denied",
            what,
            format!("only root and the group {CONTROL_GROUP} may do this"),
            admission(&std::fs::read_to_string("/etc/group").unwrap_or_default()),
        ),
        CallError::NotFound { .. } | CallError::Malformed { .. } | CallError::Unknown { .. } => {
            Problem::new(
                Exit::Daemon,
                "version_mismatch",
                what,
                format!("the daemon is of another version: {}", chain(&error)),
                "sudo systemctl restart vpnmd",
            )
        }
        CallError::Closed { .. } | CallError::NoAnswer { .. } | CallError::Io { .. } => {
            Problem::new(
                Exit::Daemon,
                "daemon_lost",
                what,
                chain(&error),
                "vpnm status",
            )
        }
        _ => Problem::new(Exit::Failed, "refused", what, chain(&error), "vpnm status"),
    }
}

/// What lets the user do it, by the text of `/etc/group`.
fn admission(groups: &str) -> String {
    let join = format!("sudo usermod -aG {CONTROL_GROUP} $USER, then log in again");
    if group(groups, CONTROL_GROUP).is_some() {
        return format!("{join}; or the same with sudo");
    }
    format!(
        "the same with sudo; to do without, make the group, which is missing here:\n\
         sudo groupadd --system {CONTROL_GROUP} && {join}"
    )
}

/// What to type after a failure: what the daemon says of the state it led to, if that
/// is the state's cause.
pub(crate) fn advised(problem: Problem, failure: &Failure, status: &Status) -> Problem {
    if status.state.cause() != Some(failure) || status.hints.is_empty() {
        return problem;
    }
    let hints: Vec<&str> = status.hints.iter().map(Note::as_str).collect();
    Problem {
        next: hints.join("\n"),
        ..problem
    }
}

/// A failure that the daemon named, in three parts.
pub(crate) fn failed(what: &str, failure: &Failure) -> Problem {
    Problem::new(
        exit_of(failure.code),
        failure.code.name(),
        what,
        failure.to_string(),
        failure.hint(),
    )
}

/// What a state that is not the wanted one means for the traffic.
pub(crate) fn not_connected(state: &State) -> &'static str {
    match state {
        State::Disconnected | State::Disconnecting => {
            "not connected; nothing was changed and traffic leaves as before"
        }
        State::Unprotected { .. } => {
            "not connected, and this machine could not be blocked: traffic may leave in the clear"
        }
        State::Connected(_)
        | State::Connecting { .. }
        | State::Reconnecting { .. }
        | State::Blocked { .. } => "not connected; this machine is blocked and nothing leaves it",
    }
}

fn exit_of(code: Code) -> Exit {
    match code {
        Code::NoNetwork
        | Code::NameNotFound
        | Code::Unreachable
        | Code::Refused
        | Code::TimedOut
        | Code::Certificate
        | Code::Tls
        | Code::WebSocket
        | Code::Rejected
        | Code::Protocol
        | Code::NoAnswer
        | Code::Unsupported
        | Code::NetworkChanged => Exit::Server,
        Code::NoTunDevice
        | Code::Foreign
        | Code::NotPermitted
        | Code::Host
        | Code::LeakDetected
        | Code::EngineStart
        | Code::EngineLost
        | Code::JournalUnreadable
        | Code::JournalWrite
        | Code::Settings => Exit::Machine,
        Code::Lockdown | Code::NoServer | Code::Superseded | Code::Stopping => Exit::State,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_does_not_run_is_to_be_started() {
        let problem = |is_closed| unreachable(&io::ErrorKind::NotFound.into(), is_closed);
        assert_eq!(problem(false).exit, Exit::Daemon);
        assert!(problem(false).next.starts_with("sudo "));
        assert!(!problem(false).next.contains("cleanup"));
        assert!(problem(true).why.contains("blocked"));
        assert!(problem(true).next.contains("sudo vpnm cleanup"));
    }

    #[test]
    fn who_may_not_is_told_how_to_be_allowed() {
        let problem = refused(
            "not connected",
            CallError::Denied {
                method: "net.vpnm.Tunnel.Connect".into(),
                reason: String::new(),
            },
        );
        assert_eq!(problem.exit, Exit::Denied);
        assert_eq!(problem.code, "denied");
        let member = admission("root:x:0:\nvpnm:x:990:\n");
        assert!(member.starts_with("sudo usermod -aG vpnm"), "{member}");
        let nobody = admission("root:x:0:\n");
        assert!(
            nobody.contains("sudo groupadd --system vpnm &&"),
            "{nobody}"
        );
    }

    #[test]
    fn the_state_a_failure_led_to_says_what_to_type() {
        let failure = Failure::new(Code::Refused, "192.0.2.7:443");
        let problem = || failed("not connected", &failure);
        let status = |cause: Code| Status {
            state: State::Blocked {
                cause: Failure {
                    code: cause,
                    ..failure.clone()
                },
            },
            hints: vec!["one".into(), "two".into()],
            ..Status::disconnected("0")
        };
        let advised = |status| advised(problem(), &failure, &status).next;
        assert_eq!(advised(status(Code::Refused)), "one\ntwo");
        assert_eq!(advised(status(Code::Tls)), failure.hint());
        assert_eq!(advised(Status::disconnected("0")), failure.hint());
    }

    #[test]
    fn a_failure_keeps_its_code_reason_and_hint() {
        let failure = Failure::new(Code::Rejected, "after 12 ms");
        let problem = refused("not connected", CallError::Remote(failure.clone().into()));
        assert_eq!(problem.code, "rejected");
        assert_eq!(problem.exit, Exit::Server);
        assert_eq!(problem.why, failure.to_string());
        assert_eq!(problem.next, failure.hint());
    }
}
