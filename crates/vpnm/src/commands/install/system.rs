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
    run(SYSTEMCTL, &["start", "vpnmd.socket"])?;
    run(SYSTEMCTL, &["restart", "vpnmd.service"])?;
    // Not before the first daemon: it writes the journal without which this blocks.
    run(SYSTEMCTL, &["start", "vpnm-boot.service"])
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
    run(SYSTEMCTL, &arguments)?;
    if version().is_some_and(keeps_descriptors) {
        // A setting of the machine's may have the store outlive the unit, and with it
        // the interface and the packet filter's owner; what is not there harms nobody.
        let clean = ["clean", "--what=fdstore", "vpnmd.service"];
        let _left = run(SYSTEMCTL, &clean);
    }
    Ok(())
}

/// Whether a service manager of this version keeps descriptors of units that ended
/// (`FileDescriptorStorePreserve=`, systemd.service(5)).
fn keeps_descriptors(version: u32) -> bool {
    version >= 254
}

/// The service manager's version.
fn version() -> Option<u32> {
    version_in(&said_by(SYSTEMCTL, &["--version"]).ok()?)
}

/// `systemd 252 (252.38-1~deb12u1)`, and what it was built with.
fn version_in(text: &str) -> Option<u32> {
    let word = text.split_whitespace().nth(1)?;
    let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
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
    said_by(program, arguments).map(drop)
}

/// What a program that succeeds writes.
fn said_by(program: &str, arguments: &[&str]) -> Result<String, SystemError> {
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
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(SystemError {
        command: command(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        for (text, version) in [
            ("systemd 252 (252.38-1~deb12u1)\n+PAM +AUDIT", Some(252)),
            ("systemd 254.5-1.fc39\n", Some(254)),
            ("systemd 257~rc2 (257~rc2)", Some(257)),
            ("systemd", None),
            ("", None),
        ] {
            assert_eq!(version_in(text), version, "{text}");
        }
        assert!(!keeps_descriptors(253) && keeps_descriptors(254));
    }
}
