//! The service, its files, and who may use it.

use vpnm_api::tunnel::CONTROL_GROUP;
use vpnm_api::{Goal, Note, State, Status, Unkept};
use vpnm_daemon::settings::FILE;
use vpnm_host::accounts::{Group, group, is_member, user};
use vpnm_host::names::{ENGINE_FALLBACK_ID, ENGINE_USER};

use super::Check;
use super::finding::Finding;
use super::survey::{JournalFacts, SettingsFault, Survey, UnitFacts};
use crate::output::Problem;

pub(super) const CHECKS: &[Check] = &[
    ("engine", engine_user),
    ("group", group_of_controllers),
    ("member", membership),
    ("settings", settings),
    ("journal", journal),
    ("unit", unit),
    ("boot", boot),
    ("directory", directory),
    ("daemon", daemon),
    ("tunnel", tunnel),
    ("repairs", repairs),
    ("kept", kept),
];

/// The engine's user may have a name; its number may not be somebody else's.
fn engine_user(survey: &Survey) -> Finding {
    let passwd = &survey.user.passwd;
    if let Some(account) = user(passwd, ENGINE_USER) {
        return Finding::good(format!(
            "the engine's user is {ENGINE_USER}, uid {}",
            account.uid
        ));
    }
    let names = passwd.lines().filter_map(|line| line.split(':').next());
    let mut owners = names.filter_map(|name| user(passwd, name));
    match owners.find(|account| account.uid == ENGINE_FALLBACK_ID) {
        None => Finding::good(format!(
            "the engine's user has no name, uid {ENGINE_FALLBACK_ID}"
        )),
        Some(other) => Finding::problem(
            format!(
                "there is no user {ENGINE_USER}, and uid {ENGINE_FALLBACK_ID} is {}'s",
                other.name
            ),
            "whatever that user runs would be let through to the server",
            format!(
                "sudo useradd --system --no-create-home --shell /usr/sbin/nologin {ENGINE_USER}"
            ),
        ),
    }
}

fn controllers(survey: &Survey) -> Option<Group> {
    group(&survey.user.groups, CONTROL_GROUP)
}

fn group_of_controllers(survey: &Survey) -> Finding {
    match controllers(survey) {
        Some(_) => Finding::good(format!("the group {CONTROL_GROUP} may connect")),
        None => Finding::warning(
            format!("there is no group {CONTROL_GROUP}"),
            "only root may connect",
            format!(
                "sudo groupadd --system {CONTROL_GROUP} && sudo usermod -aG {CONTROL_GROUP} $USER"
            ),
        ),
    }
}

fn membership(survey: &Survey) -> Finding {
    if survey.user.is_root {
        return Finding::good("you are root and may do everything");
    }
    let Some(group) = controllers(survey) else {
        return Finding::warning(
            "you may look, not connect",
            "there is no group for it",
            "sudo vpnm connect LINK",
        );
    };
    let number = group.gid.to_string();
    let lines = survey.user.status.lines();
    let mut own = lines.filter_map(|line| {
        line.strip_prefix("Groups:")
            .or_else(|| line.strip_prefix("Gid:"))
    });
    if own.any(|line| line.split_whitespace().any(|gid| gid == number)) {
        return Finding::good(format!(
            "you are in the group {CONTROL_GROUP} and may connect"
        ));
    }
    if is_member(&survey.user.passwd, survey.user.uid, &group) {
        return Finding::warning(
            format!("you are in the group {CONTROL_GROUP}, this session is not yet"),
            "groups are taken over at login",
            "log out and in again, or: newgrp vpnm",
        );
    }
    Finding::warning(
        format!("you are not in the group {CONTROL_GROUP}"),
        "you may look, not connect",
        format!("sudo usermod -aG {CONTROL_GROUP} $USER, then log in again"),
    )
}

fn settings(survey: &Survey) -> Finding {
    match &survey.service.settings {
        Ok(settings) => {
            let lan = if settings.lan { "reachable" } else { "blocked" };
            Finding::good(format!(
                "the settings can be read; the local network is {lan}"
            ))
        }
        Err(SettingsFault::Unseen) => Finding::unknown(
            "the settings were not read",
            "only root may: sudo vpnm doctor",
        ),
        Err(SettingsFault::Unsafe) => Finding::problem(
            format!("{FILE} cannot be used"),
            "others than root can write it",
            format!("sudo chown root {FILE} && sudo chmod 644 {FILE}"),
        ),
        Err(SettingsFault::Wrong(why)) => Finding::problem(
            format!("{FILE} cannot be used"),
            why,
            format!("correct it: sudo editor {FILE}; then vpnm connect"),
        ),
    }
}

fn journal(survey: &Survey) -> Finding {
    match &survey.service.journal {
        JournalFacts::Unseen => Finding::unknown(
            "the daemon's memory was not read",
            "only root may: sudo vpnm doctor",
        ),
        JournalFacts::Absent if blocks_at_boot(survey) => Finding::warning(
            "there is no journal",
            "at its next start this machine is blocked, as if the disk with it were missing",
            "sudo systemctl restart vpnmd, which writes one",
        ),
        JournalFacts::Absent => Finding::good("nothing is remembered yet"),
        JournalFacts::Good => Finding::good("the daemon's memory can be read"),
        JournalFacts::Bad(why) => Finding::problem(
            why,
            "a memory that cannot be read means that the machine stays blocked",
            "vpnm connect LINK, which writes it anew; or to open the machine: sudo vpnm cleanup",
        ),
    }
}

fn unit(survey: &Survey) -> Finding {
    let service = &survey.service;
    let Some(UnitFacts {
        file,
        program,
        has_program,
        ..
    }) = &service.unit
    else {
        if survey.machine.has_systemd {
            return Finding::warning(
                "there is no unit vpnmd.service",
                "the daemon does not come back by itself",
                "sudo vpnm install",
            );
        }
        return Finding::note(
            "systemd does not run this machine",
            "start the daemon with: sudo vpnm daemon",
        );
    };
    match &service.program {
        Some(own) if own != program && !has_program => Finding::problem(
            format!("{file} starts {program}, which does not exist"),
            "the daemon cannot start",
            format!("sudo install -m 755 {own} {program}"),
        ),
        Some(own) if own != program => Finding::note(
            format!("{file} starts {program}"),
            format!("this program is {own}; they may differ"),
        ),
        Some(_) | None => Finding::good(format!("{file} starts this program")),
    }
}

fn boot(survey: &Survey) -> Finding {
    match &survey.service.unit {
        None => Finding::note("nothing blocks at boot", "there is no unit that could"),
        Some(unit) if unit.blocks_at_boot && unit.is_enabled => {
            Finding::good("a secured machine is blocked before its network comes up")
        }
        Some(_) => Finding::warning(
            "the units vpnmd.service and vpnm-boot.service do not both start with the machine",
            "after a restart the network may be up before this machine is blocked",
            "sudo systemctl enable --now vpnmd",
        ),
    }
}

/// Whoever can write the directory could put another socket there.
fn directory(survey: &Survey) -> Finding {
    match survey.service.directory {
        None => Finding::note(
            "there is no /run/vpnm",
            "the daemon makes it when it starts",
        ),
        Some((0, mode)) if mode & 0o022 == 0 => {
            Finding::good("the daemon's directory is root's alone")
        }
        Some((uid, mode)) => Finding::problem(
            format!("/run/vpnm belongs to uid {uid}, mode {mode:o}"),
            "whoever can write it can pretend to be the daemon",
            "sudo chown root:root /run/vpnm && sudo chmod 755 /run/vpnm",
        ),
    }
}

/// What keeps a check from being made of a daemon that does not answer.
fn unanswered(problem: &Problem) -> Finding {
    Finding::unknown("the daemon was not asked", problem.why.clone())
}

fn daemon(survey: &Survey) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match &survey.daemon {
        Err(problem) => Finding::problem(
            problem.what.clone(),
            problem.why.clone(),
            problem.next.clone(),
        ),
        Ok(status) if status.version == own => Finding::good(format!("it runs, version {own}")),
        Ok(status) => Finding::problem(
            format!("it runs version {}, this is {own}", status.version),
            "they may not understand each other",
            "sudo systemctl restart vpnmd",
        ),
    }
}

fn tunnel(survey: &Survey) -> Finding {
    match &survey.daemon {
        Err(problem) => unanswered(problem),
        Ok(status) => of_state(status),
    }
}

fn of_state(status: &Status) -> Finding {
    let name = status.state.name();
    match &status.state {
        State::Disconnected
        | State::Connecting { .. }
        | State::Connected(_)
        | State::Disconnecting => Finding::good(name),
        State::Reconnecting { cause, .. }
        | State::Blocked { cause }
        | State::Unprotected { cause } => {
            let hints: Vec<&str> = status.hints.iter().map(Note::as_str).collect();
            let next = match hints.as_slice() {
                [] => cause.hint().to_owned(),
                hints => hints.join("; "),
            };
            Finding::problem(name, cause.to_string(), next)
        }
    }
}

fn repairs(survey: &Survey) -> Finding {
    match &survey.daemon {
        Err(problem) => unanswered(problem),
        Ok(status) if status.repairs.count == 0 => {
            Finding::good("nobody has touched what vpnm set up")
        }
        Ok(status) => Finding::note(
            format!(
                "what vpnm set up was put back {} times, last: {}",
                status.repairs.count, status.repairs.last
            ),
            "other programs change it; vpnm status --watch shows when",
        ),
    }
}

/// Who owns the packet filter while no daemon lives.
fn kept(survey: &Survey) -> Finding {
    match &survey.daemon {
        Err(problem) => unanswered(problem),
        Ok(Status {
            unkept: Some(unkept),
            ..
        }) => Finding::warning(
            format!("nobody keeps the packet filter: {}", unkept.why()),
            Unkept::MEANING,
            unkept.hint(),
        ),
        Ok(status) if status.goal == Goal::Open => {
            Finding::good("there is no packet filter that somebody would have to keep")
        }
        Ok(_) => Finding::good("what there is of the packet filter outlives the daemon"),
    }
}

fn blocks_at_boot(survey: &Survey) -> bool {
    let unit = survey.service.unit.as_ref();
    unit.is_some_and(|unit| unit.blocks_at_boot)
}
