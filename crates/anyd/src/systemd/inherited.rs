//! Descriptors that the service manager has passed.

use std::collections::VecDeque;
use std::os::fd::{OwnedFd, RawFd};
#[cfg(feature = "server")]
use std::os::unix::net::UnixListener;
#[cfg(feature = "server")]
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::net::sockopt::socket_acceptconn;
#[cfg(feature = "server")]
use rustix::net::sockopt::{socket_domain, socket_type};
#[cfg(feature = "server")]
use rustix::net::{AddressFamily, SocketType};

use crate::sys;

/// The first descriptor passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// More than any unit passes.
const MOST: RawFd = 4096;

/// A descriptor and the name that the unit gives it.
struct Named {
    name: String,
    fd: OwnedFd,
}

/// What has been passed and not yet taken; read once, since a descriptor can
/// have one owner only.
fn inherited() -> MutexGuard<'static, VecDeque<Named>> {
    static INHERITED: OnceLock<Mutex<VecDeque<Named>>> = OnceLock::new();
    INHERITED
        .get_or_init(|| {
            let variable = |name: &str| std::env::var(name).ok();
            let listed = listed(
                std::process::id(),
                variable("LISTEN_PID").as_deref(),
                variable("LISTEN_FDS").as_deref(),
                variable("LISTEN_FDNAMES").as_deref(),
            );
            let taken = listed.into_iter().filter_map(|(name, fd)| {
                let fd = sys::inherited(fd).ok()?;
                Some(Named { name, fd })
            });
            Mutex::new(taken.collect())
        })
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// What the environment says has been passed to the process `own`.
fn listed(
    own: u32,
    pid: Option<&str>,
    count: Option<&str>,
    names: Option<&str>,
) -> Vec<(String, RawFd)> {
    let meant_for_us = pid.and_then(|pid| pid.parse::<u32>().ok()) == Some(own);
    let count = count.and_then(|count| count.parse::<RawFd>().ok());
    let (true, Some(count)) = (meant_for_us, count) else {
        return Vec::new();
    };
    let mut names = names.unwrap_or_default().split(':');
    (FIRST..FIRST + count.clamp(0, MOST))
        .map(|fd| {
            let name = names.next().filter(|name| !name.is_empty());
            (name.unwrap_or("unknown").to_owned(), fd)
        })
        .collect()
}

/// Takes the listening socket that has this path.
#[cfg(feature = "server")]
pub(crate) fn take_listener(path: &Path) -> Option<UnixListener> {
    let mut all = inherited();
    let place = all.iter().position(|one| listens_at(&one.fd, path))?;
    let listener = UnixListener::from(all.remove(place)?.fd);
    listener.set_nonblocking(true).ok()?;
    Some(listener)
}

#[cfg(feature = "server")]
fn listens_at(fd: &OwnedFd, path: &Path) -> bool {
    let listens = is_listener(fd)
        && socket_domain(fd).is_ok_and(|domain| domain == AddressFamily::UNIX)
        && socket_type(fd).is_ok_and(|kind| kind == SocketType::STREAM);
    if !listens {
        return false;
    }
    let address = fd
        .try_clone()
        .and_then(|copy| UnixListener::from(copy).local_addr());
    address.is_ok_and(|address| address.as_pathname() == Some(path))
}

fn is_listener(fd: &OwnedFd) -> bool {
    socket_acceptconn(fd).unwrap_or(false)
}

/// Takes back the descriptor stored under this name by
/// [`store_fd`](super::store_fd), perhaps by the daemon before this one.
#[must_use]
pub fn stored_fd(name: &str) -> Option<OwnedFd> {
    let mut all = inherited();
    let place = all
        .iter()
        .position(|one| one.name == name && !is_listener(&one.fd))?;
    Some(all.remove(place)?.fd)
}

/// Takes back all descriptors that are stored, with their names.
#[must_use]
pub fn stored_fds() -> Vec<(String, OwnedFd)> {
    let mut all = inherited();
    let (listeners, stored) = all.drain(..).partition(|one| is_listener(&one.fd));
    *all = listeners;
    let stored: VecDeque<Named> = stored;
    stored.into_iter().map(|one| (one.name, one.fd)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pid: &str, count: &str, names: Option<&str>) -> Vec<(String, RawFd)> {
        listed(77, Some(pid), Some(count), names)
    }

    #[test]
    fn what_is_passed_is_named() {
        let expected = [("api".to_owned(), 3), ("tun".to_owned(), 4)];
        assert_eq!(names("77", "2", Some("api:tun")), expected);
        let expected = [("api".to_owned(), 3), ("unknown".to_owned(), 4)];
        assert_eq!(names("77", "2", Some("api")), expected);
        assert_eq!(names("77", "1", None), [("unknown".to_owned(), 3)]);
    }

    #[test]
    fn what_is_meant_for_another_process_or_nonsense_is_not_taken() {
        for (pid, count) in [
            ("78", "2"),
            ("", "2"),
            ("77", "-3"),
            ("77", "x"),
            ("77", "0"),
        ] {
            assert_eq!(names(pid, count, None), [], "{pid} {count}");
        }
        assert_eq!(listed(77, None, Some("1"), None), []);
        let most = usize::try_from(MOST).unwrap();
        assert_eq!(names("77", "2147483647", None).len(), most);
    }
}
