//! The right to build a world: root's, or that of a user namespace.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::process::{Command, ExitStatus};
use std::thread;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::thread::UnshareFlags;

use crate::sys;

/// Ids a world needs inside its user namespace, root's own not counted.
const IDS: u32 = 65_535;

/// How a program came by the right to build a world.
#[derive(Debug)]
#[must_use = "a delegated program has done its work in another process"]
pub enum Privilege {
    /// This process may build worlds: go on.
    Held,
    /// The same command line has run in a user namespace and ended so: end so too.
    Delegated(ExitStatus),
}

/// Why this process may not build worlds.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// root, but a container or the kernel forbids namespaces.
    #[error(
        "root here may not make namespaces: run it outside of the container, or give the container CAP_SYS_ADMIN and CAP_NET_ADMIN"
    )]
    Forbidden(#[source] io::Error),
    /// The TUN device cannot be opened by this user.
    #[error("/dev/net/tun cannot be opened by this user: type the same command after sudo")]
    Tun(#[source] io::Error),
    /// The user has no range of subordinate ids.
    #[error("this user has no {IDS} subordinate ids in {file}: type the same command after sudo")]
    NoSubordinates {
        /// `/etc/subuid` or `/etc/subgid`.
        file: &'static str,
    },
    /// The user namespace could not be made.
    #[error(
        "no user namespace could be made: type the same command after sudo, or install newuidmap (package uidmap)"
    )]
    Namespace(#[source] io::Error),
}

/// Makes sure that worlds can be built: at once as root, else by running this
/// program again, with the same arguments, as root of a user namespace of its
/// own. Call it before anything else.
///
/// # Errors
///
/// [`PrivilegeError`], whose text says what to type.
pub fn ensure() -> Result<Privilege, PrivilegeError> {
    if rustix::process::geteuid().is_root() {
        try_namespaces().map_err(PrivilegeError::Forbidden)?;
        return Ok(Privilege::Held);
    }
    File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .map_err(PrivilegeError::Tun)?;
    let users = subordinates("/etc/subuid")?;
    let groups = subordinates("/etc/subgid")?;
    delegate(users, groups)
        .map(Privilege::Delegated)
        .map_err(PrivilegeError::Namespace)
}

/// Makes and forgets a pair of namespaces.
fn try_namespaces() -> io::Result<()> {
    thread::spawn(|| sys::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWNS))
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The first of this user's subordinate ids.
fn subordinates(file: &'static str) -> Result<u32, PrivilegeError> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ranges = fs::read_to_string(file).unwrap_or_default();
    find_range(&accounts, &ranges, &uid).ok_or(PrivilegeError::NoSubordinates { file })
}

/// `subuid(5)`: lines of `login name or uid:first:count`.
fn find_range(accounts: &str, ranges: &str, uid: &str) -> Option<u32> {
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    });
    ranges.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let first = fields.next()?.parse().ok()?;
        let count: u32 = fields.next()?.parse().ok()?;
        ((owner == uid || Some(owner) == name) && count >= IDS).then_some(first)
    })
}

/// Runs this command line again as root of a user namespace.
fn delegate(first_user: u32, first_group: u32) -> io::Result<ExitStatus> {
    let (pid_in, pid_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let (go_in, go_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    // The child cannot map its own ids: only its parent's namespace may, and
    // only with the help of the set-user-id programs made for it.
    let mapper = thread::spawn(move || -> io::Result<()> {
        let mut pid = [0; 4];
        File::from(pid_in).read_exact(&mut pid)?;
        let pid = i32::from_ne_bytes(pid);
        let mapped = map("newuidmap", pid, uid, first_user)
            .and_then(|()| map("newgidmap", pid, gid, first_group));
        // Said also when it failed: the child holds a copy of this end, so
        // closing it would say nothing.
        File::from(go_out).write_all(&[u8::from(mapped.is_ok())])?;
        mapped
    });
    let mut command = Command::new("/proc/self/exe");
    let mut arguments = std::env::args_os();
    if let Some(name) = arguments.next() {
        use std::os::unix::process::CommandExt as _;
        command.arg0(name);
    }
    command.args(arguments);
    sys::wait_for_ids(&mut command, pid_out, go_in);
    let child = command.spawn();
    // The hook holds the other ends of the pipes: without it the mapper ends.
    drop(command);
    let mapped = mapper
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let mut child = child.map_err(|error| mapped.err().unwrap_or(error))?;
    child.wait()
}

fn map(program: &str, pid: i32, own: u32, first: u32) -> io::Result<()> {
    let numbers = [0, own, 1, 1, first, IDS].map(|number| number.to_string());
    let status = Command::new(program)
        .arg(pid.to_string())
        .args(numbers)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{program} failed with {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n";

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        assert_eq!(
            find_range(ACCOUNTS, "bob:1:65536\nann:100000:65536\n", "1000"),
            Some(100_000)
        );
        assert_eq!(
            find_range(ACCOUNTS, "1000:200000:65535\n", "1000"),
            Some(200_000)
        );
    }

    #[test]
    fn short_and_foreign_ranges_do_not_count() {
        assert_eq!(
            find_range(ACCOUNTS, "ann:100000:1000\nbob:1:65536\n", "1000"),
            None
        );
        assert_eq!(find_range(ACCOUNTS, "ann\n", "1000"), None);
        assert_eq!(find_range(ACCOUNTS, "", "1000"), None);
    }
}
