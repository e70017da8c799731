//! `vpnm doctor`

use std::fs;
use std::os::unix::fs::FileTypeExt as _;

use serde::Serialize;
use vpnm_api::tunnel::{CONTROL_GROUP, TunnelBlocking};
use vpnm_api::{State, Status};

use super::Context;
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Group};
use crate::control;
use crate::exit::Exit;
use crate::output::{Failure, Mark, Problem, chain};

pub(super) const COMMAND: Command = Command {
    name: "doctor",
    group: Group::System,
    summary: "Look for what keeps vpnm from working here",
    about: "\
Looks at the TUN device, the trusted certificates, the engine's user, your rights, the daemon and \
the tunnel, changes nothing, and says what to type where something is missing.",
    operands: &[],
    flags: &[],
    examples: &[],
};

/// The engine's user, by name and by the number used without one.
const ENGINE: (&str, &str) = ("_vpnm", "7670");

/// What was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// What was found.
    found: String,
    /// What to type; empty where nothing is wrong.
    next: String,
}

#[derive(Serialize)]
struct Findings {
    ok: bool,
    checks: Vec<Check>,
}

impl Check {
    fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            ok: true,
            found: found.into(),
            next: String::new(),
        }
    }

    fn bad(name: &'static str, found: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            name,
            ok: false,
            found: found.into(),
            next: next.into(),
        }
    }
}

pub(super) fn run(context: &Context, _: &Matches) -> Result<Exit, Failure> {
    let mut checks = vec![tun(), certificates(), engine_user(), rights()];
    match control::open() {
        Ok(tunnel) => checks.extend(daemon(tunnel)),
        Err(problem) => checks.push(failed("daemon", problem)),
    }
    let style = context.output.style();
    for check in &checks {
        let mut text = check.found.clone();
        if !check.ok {
            text.push_str("\nnext: ");
            text.push_str(&check.next);
        }
        context
            .output
            .line(Mark::of(check.ok).line(style, check.name, &text))?;
    }
    let ok = checks.iter().all(|check| check.ok);
    context.output.json(&Findings { ok, checks })?;
    Ok(if ok { Exit::Success } else { Exit::Failed })
}

fn failed(name: &'static str, problem: Problem) -> Check {
    Check::bad(
        name,
        format!("{}: {}", problem.what, problem.why),
        problem.next,
    )
}

fn tun() -> Check {
    match fs::metadata("/dev/net/tun") {
        Ok(device) if device.file_type().is_char_device() => {
            Check::good("device", "/dev/net/tun is there")
        }
        Ok(_) => Check::bad(
            "device",
            "/dev/net/tun is no device",
            "sudo rm /dev/net/tun && sudo mknod -m 666 /dev/net/tun c 10 200",
        ),
        Err(_) => Check::bad(
            "device",
            "this machine has no /dev/net/tun",
            "sudo modprobe tun; for a container: --device /dev/net/tun",
        ),
    }
}

fn certificates() -> Check {
    match vpnm_engine::roots::load() {
        Ok(_) => Check::good("trust", "the system's certificate authorities can be read"),
        Err(error) => Check::bad(
            "trust",
            chain(&error),
            "sudo apt-get install ca-certificates",
        ),
    }
}

fn engine_user() -> Check {
    judge_user(&fs::read_to_string("/etc/passwd").unwrap_or_default())
}

/// The engine's user may have a name; its number may not be somebody else's.
fn judge_user(accounts: &str) -> Check {
    let (name, number) = ENGINE;
    let fields = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.to_owned()))
    };
    let users: Vec<(String, String)> = accounts.lines().filter_map(fields).collect();
    if let Some((_, uid)) = users.iter().find(|(user, _)| user == name) {
        return Check::good("engine", format!("its user is {name}, uid {uid}"));
    }
    match users.iter().find(|(_, uid)| uid == number) {
        None => Check::good("engine", format!("its user has no name, uid {number}")),
        Some((other, _)) => Check::bad(
            "engine",
            format!("there is no user {name}, and uid {number} is {other}'s"),
            format!("sudo useradd --system --no-create-home --shell /usr/sbin/nologin {name}"),
        ),
    }
}

fn rights() -> Check {
    judge_rights(
        rustix::process::geteuid().is_root(),
        &fs::read_to_string("/etc/group").unwrap_or_default(),
        &fs::read_to_string("/proc/self/status").unwrap_or_default(),
    )
}

/// `status` is the text of `/proc/self/status`.
fn judge_rights(is_root: bool, groups: &str, status: &str) -> Check {
    if is_root {
        return Check::good("rights", "you are root and may do everything");
    }
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == CONTROL_GROUP)
            .then(|| fields.nth(1))
            .flatten()
    });
    let Some(number) = number else {
        return Check::bad(
            "rights",
            format!("there is no group {CONTROL_GROUP}, so only root may connect"),
            format!(
                "sudo groupadd --system {CONTROL_GROUP} && sudo usermod -aG {CONTROL_GROUP} $USER"
            ),
        );
    };
    let is_member = status
        .lines()
        .filter_map(|line| {
            line.strip_prefix("Groups:")
                .or_else(|| line.strip_prefix("Gid:"))
        })
        .flat_map(str::split_whitespace)
        .any(|group| group == number);
    if is_member {
        Check::good(
            "rights",
            format!("you are in the group {CONTROL_GROUP} and may connect"),
        )
    } else {
        Check::bad(
            "rights",
            format!("you are not in the group {CONTROL_GROUP}: you may look, not connect"),
            format!("sudo usermod -aG {CONTROL_GROUP} $USER, then log in again"),
        )
    }
}

fn daemon(mut tunnel: TunnelBlocking) -> Vec<Check> {
    match tunnel.status() {
        Ok(status) => vec![version(&status), state(&status)],
        Err(error) => {
            let problem = control::refused("the daemon did not say how things are", error);
            vec![failed("daemon", problem)]
        }
    }
}

fn version(status: &Status) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    if status.version == own {
        Check::good("daemon", format!("it runs, version {own}"))
    } else {
        Check::bad(
            "daemon",
            format!("it runs version {}, this is {own}", status.version),
            "sudo systemctl restart vpnmd",
        )
    }
}

fn state(status: &Status) -> Check {
    let name = status.state.name();
    match &status.state {
        State::Disconnected
        | State::Connecting { .. }
        | State::Connected(_)
        | State::Disconnecting => Check::good("tunnel", name),
        State::Reconnecting { cause, .. }
        | State::Blocked { cause }
        | State::Unprotected { cause } => {
            Check::bad("tunnel", format!("{name}: {cause}"), cause.hint())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_number_belongs_to_nobody_else() {
        assert!(judge_user("root:x:0:0::/:/bin/sh\n").ok);
        assert!(judge_user("_vpnm:x:7670:7670::/:/bin/false\n").ok);
        assert!(judge_user("_vpnm:x:999:999::/:/bin/false\nann:x:7670:1::/:/\n").ok);
        let check = judge_user("ann:x:7670:7670::/:/bin/sh\n");
        assert!(!check.ok && check.next.contains("useradd"));
    }

    #[test]
    fn rights_come_from_root_or_the_group() {
        let groups = "root:x:0:\nvpnm:x:7671:alice\n";
        assert!(judge_rights(true, "", "").ok);
        assert!(judge_rights(false, groups, "Gid:\t1 1 1 1\nGroups:\t4 7671 \n").ok);
        assert!(judge_rights(false, groups, "Gid:\t7671 7671 7671 7671\nGroups:\t\n").ok);
        let outside = judge_rights(false, groups, "Gid:\t1 1 1 1\nGroups:\t4 \n");
        assert!(!outside.ok && outside.next.contains("usermod"));
        let nobody = judge_rights(false, "root:x:0:\n", "");
        assert!(!nobody.ok && nobody.next.contains("groupadd"));
    }

    #[test]
    fn a_blocked_tunnel_is_a_finding() {
        use vpnm_api::{Code, Failure};
        let mut status = Status::disconnected(env!("CARGO_PKG_VERSION"));
        assert!(version(&status).ok && state(&status).ok);
        status.state = State::Blocked {
            cause: Failure::from(Code::Refused),
        };
        status.version = "0.0.1".to_owned();
        assert!(!version(&status).ok && !state(&status).ok);
    }
}
