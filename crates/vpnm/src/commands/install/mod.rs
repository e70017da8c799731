//! `vpnm install` and `vpnm uninstall`

mod files;
mod system;

use std::path::{Path, PathBuf};

use serde::Serialize;
use vpnm_daemon::Options;

use super::{Context, cleanup};
use crate::cli::parse::Matches;
use crate::cli::spec::{Command, Flag, Group, Kind, Value};
use crate::exit::Exit;
use crate::output::{Failure, Problem, chain};

const ROOT: Flag = Flag {
    long: "root",
    short: None,
    value: Some(Value {
        name: "DIR",
        kind: Kind::File,
    }),
    summary: "Put the files below DIR and start nothing, as packagers want it",
    details: "",
};

pub(super) const INSTALL: Command = Command {
    name: "install",
    group: Group::System,
    summary: "Install this program and its daemon, or take the place of an older one",
    about: "\
Puts this very file to /usr/bin/vpnm, with units for systemd, a manual page and completions where \
this system has a place for them, makes the user _vpnm and the group vpnm, and starts the daemon. \
Done again, it is an upgrade: the daemon is restarted, and nothing is opened meanwhile.

Without systemd only the files are put in place; start \"vpnm daemon\" as your system does.

A package that is built with --root runs \"vpnm install\" once it is on a machine: the unit that \
blocks at the start of the system takes a machine that its daemon never ran on for one whose disk \
is missing.",
    operands: &[],
    flags: &[&ROOT],
    examples: &[
        ("sudo ./vpnm install", "Install, or upgrade"),
        ("./vpnm install --root \"$DESTDIR\"", "Build a package"),
    ],
};

const PURGE: Flag = Flag {
    long: "purge",
    short: None,
    value: None,
    summary: "Remove the settings and the accounts as well",
    details: "",
};

pub(super) const UNINSTALL: Command = Command {
    name: "uninstall",
    group: Group::System,
    summary: "Remove vpnm and everything it set up, and open the machine",
    about: "\
Ends the daemon, takes away all that \"vpnm cleanup\" does, and removes every file that \"vpnm \
install\" put in place. Settings in /etc/vpnm and the accounts stay, unless they are purged.",
    operands: &[],
    flags: &[&PURGE],
    examples: &[("sudo vpnm uninstall --purge", "Leave nothing")],
};

#[derive(Serialize)]
struct Installed {
    installed: Vec<String>,
    started: bool,
}

#[derive(Serialize)]
struct Uninstalled {
    removed: Vec<String>,
}

pub(super) fn install(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    let root = matches.value(&ROOT).map(PathBuf::from);
    let here = root.is_none();
    if here {
        need_root("nothing was installed", "sudo ./vpnm install")?;
    }
    let root = root.unwrap_or_else(|| "/".into());
    let failed = |error: &dyn std::error::Error| -> Failure {
        let what = "not everything was installed";
        Problem::new(
            Exit::Failed,
            "install",
            what,
            chain(error),
            "sudo ./vpnm install",
        )
        .into()
    };
    let installed = put_files(context, &root, here).map_err(|error| failed(&error))?;
    for path in &installed {
        context.output.line(format!("+ {path}"))?;
    }
    let started = here && system::has_systemd();
    if started {
        system::start().map_err(|error| failed(&error))?;
        context
            .output
            .line("the daemon runs; vpnm connect LINK connects")?;
        context
            .output
            .line("who besides root may connect: sudo usermod -aG vpnm NAME")?;
    } else if here {
        context
            .output
            .line("there is no systemd here; start the daemon with: sudo vpnm daemon")?;
    }
    context.output.json(&Installed { installed, started })?;
    Ok(Exit::Success)
}

/// Puts every file in its place; those that changed. On this machine a text goes
/// only where there is a directory for its like.
fn put_files(context: &Context, root: &Path, here: bool) -> Result<Vec<String>, files::FileError> {
    let mut installed = Vec::new();
    let mut note = |path: &Path, changed| {
        if changed {
            installed.push(path.display().to_string());
        }
    };
    for text in files::texts(context.program) {
        let path = root.join(text.path);
        let place = path.parent().unwrap_or(root);
        if !here {
            files::make_directory(place, 0o755)?;
        }
        if place.is_dir() {
            note(&path, files::put(&path, text.content.as_bytes(), 0o644)?);
        }
    }
    let state = root.join(files::STATE);
    note(&state, files::make_own_directory(&state, 0o700)?);
    let binary = root.join(files::BINARY);
    files::make_directory(binary.parent().unwrap_or(root), 0o755)?;
    note(
        &binary,
        files::put(&binary, &files::this_program()?, 0o755)?,
    );
    Ok(installed)
}

pub(super) fn uninstall(context: &Context, matches: &Matches) -> Result<Exit, Failure> {
    need_root("nothing was removed", "sudo vpnm uninstall")?;
    let systemd = system::has_systemd();
    let failed = |error: &dyn std::error::Error| -> Failure {
        let what = "not everything was removed";
        Problem::new(
            Exit::Failed,
            "uninstall",
            what,
            chain(error),
            "sudo vpnm uninstall",
        )
        .into()
    };
    if systemd {
        system::stop().map_err(|error| failed(&error))?;
    }
    let cleaned = vpnm_daemon::cleanup(&Options::default());
    let mut removed = cleaned.map_err(|error| cleanup::problem(&error))?;
    let purge = matches.has(&PURGE);
    remove_files(context, purge, &mut removed).map_err(|error| failed(&error))?;
    if systemd {
        system::forget().map_err(|error| failed(&error))?;
    }
    if purge {
        system::remove_accounts();
    }
    for line in &removed {
        context.output.line(line)?;
    }
    context.output.line(if removed.is_empty() {
        "nothing of vpnm was here"
    } else {
        "vpnm is gone and this machine is as it was without it"
    })?;
    context.output.json(&Uninstalled { removed })?;
    Ok(Exit::Success)
}

fn remove_files(
    context: &Context,
    purge: bool,
    removed: &mut Vec<String>,
) -> Result<(), files::FileError> {
    let root = Path::new("/");
    let mut note = |path: &Path, was_there| {
        if was_there {
            removed.push(format!("- {}", path.display()));
        }
    };
    for text in files::texts(context.program) {
        let path = root.join(text.path);
        note(&path, files::remove(&path)?);
    }
    let settings = purge.then_some(files::SETTINGS);
    let directories = [files::STATE, files::RUNTIME].into_iter().chain(settings);
    for directory in directories {
        let path = root.join(directory);
        note(&path, files::remove_directory(&path)?);
    }
    let binary = root.join(files::BINARY);
    note(&binary, files::remove(&binary)?);
    Ok(())
}

fn need_root(what: &str, next: &str) -> Result<(), Problem> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let why = "only root can change the system";
    Err(Problem::new(Exit::Denied, "not_permitted", what, why, next))
}
