//! The service manager and the accounts, by the system's own programs at their
//! fixed places. No shell, no search path, an empty environment.

use std::path::Path;
use std::process::{Command, Stdio};

const SYSTEMCTL: &str = "/usr/bin/systemctl";
const SYSUSERS: &str = "/usr/bin/systemd-sysusers";
const USERDEL: &str = "/usr/sbin/userdel";
const GROUPDEL: &str = "/usr/sbin/groupdel";

/// The units, in the order in which they are ended.
const UNITS: [&str; 3] = ["vpnmd.socket", "vpnmd.service", "vpnm-boot.service"];

/// A program of the system's did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[error("{command}: {said}")]
pub(super) struct SystemError {
    command: String,
    said: String,
}

/// Whether systemd manages this machine's services.
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir() && Path::new(SYSTEMCTL).exists()
}

/// Makes the accounts, and starts or restarts the daemon. A restart opens nothing:
/// what blocks is in the kernel, and the interface in the service manager's store.
pub(super) fn start() -> Result<(), SystemError> {
    if Path::new(SYSUSERS).exists() {
        run(SYSUSERS, &["vpnm.conf"])?;
    }
    run(SYSTEMCTL, &["daemon-reload"])?;
    run(SYSTEMCTL, &["--quiet", "enable", "vpnmd.service"])?;
    run(SYSTEMCTL, &["start", "vpnm-boot.service", "vpnmd.socket"])?;
    run(SYSTEMCTL, &["restart", "vpnmd.service"])
}

/// Ends the daemon and has nothing of it started again.
pub(super) fn stop() -> Result<(), SystemError> {
    let known = |unit: &&str| {
        let path = Path::new("/usr/lib/systemd/system").join(unit);
        path.exists()
    };
    let units: Vec<&str> = UNITS.into_iter().filter(known).collect();
    if units.is_empty() {
        return Ok(());
    }
    let arguments = [&["--quiet", "disable", "--now"], units.as_slice()].concat();
    run(SYSTEMCTL, &arguments)
}

/// Has the service manager see that the units are gone.
pub(super) fn forget() -> Result<(), SystemError> {
    run(SYSTEMCTL, &["daemon-reload"])?;
    // One that had failed would be remembered by its name.
    let _none_failed = run(SYSTEMCTL, &[&["reset-failed"], UNITS.as_slice()].concat());
    Ok(())
}

/// Removes the accounts, as far as they are there.
pub(super) fn remove_accounts() {
    for (program, name) in [(USERDEL, "_vpnm"), (GROUPDEL, "_vpnm"), (GROUPDEL, "vpnm")] {
        // It may never have been made, or have gone with its user.
        let _not_there = run(program, &[name]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), SystemError> {
    let command = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| SystemError {
        command: command(),
        said: error.to_string(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(SystemError {
        command: command(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
