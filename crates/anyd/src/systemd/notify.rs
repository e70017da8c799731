//! Telling the service manager how the service is.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
#[cfg(feature = "server")]
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::descriptors;

/// Sends lines such as `READY=1`; `false` when nobody waits for them.
///
/// # Errors
///
/// When the service manager's socket cannot be written to.
pub fn notify(lines: &str) -> io::Result<bool> {
    send(lines, &[])
}

fn send(lines: &str, fds: &[BorrowedFd<'_>]) -> io::Result<bool> {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(false);
    };
    let socket = socket()?;
    socket.connect_addr(&address(&place)?)?;
    let sent = descriptors::send(socket, lines.as_bytes(), fds)?;
    if sent != lines.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(true)
}

/// The socket to send from. It is kept: a process without descriptors left must
/// still feed its watchdog.
fn socket() -> io::Result<&'static UnixDatagram> {
    static KEPT: OnceLock<UnixDatagram> = OnceLock::new();
    if let Some(kept) = KEPT.get() {
        return Ok(kept);
    }
    let made = UnixDatagram::unbound()?;
    Ok(KEPT.get_or_init(|| made))
}

/// A path, or a name after `@` that is in no file system.
fn address(place: &OsStr) -> io::Result<SocketAddr> {
    match place.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        Some((b'/', _)) => SocketAddr::from_pathname(place),
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "NOTIFY_SOCKET is neither a path nor an abstract name",
        )),
    }
}

/// The service serves. [`Daemon::run`](crate::Daemon::run) says it; say it
/// again after [`reloading`].
///
/// # Errors
///
/// As [`notify`].
pub fn ready() -> io::Result<bool> {
    notify("READY=1")
}

/// The service reads its settings again; [`ready`] follows.
///
/// # Errors
///
/// As [`notify`].
pub fn reloading() -> io::Result<bool> {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"))
}

/// The service ends. [`Daemon::run`](crate::Daemon::run) says it.
///
/// # Errors
///
/// As [`notify`].
pub fn stopping() -> io::Result<bool> {
    notify("STOPPING=1")
}

/// One line for people, which `systemctl status` shows.
///
/// # Errors
///
/// As [`notify`]; or the text has several lines.
pub fn status(text: &str) -> io::Result<bool> {
    if text.contains('\n') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    notify(&format!("STATUS={text}"))
}

/// Gives a copy of a descriptor to the service manager, which hands it to the
/// next daemon (`FileDescriptorStoreMax=` in the unit says how many it keeps).
///
/// # Errors
///
/// As [`notify`]; or the name is not 1 to 255 printable letters without `:`.
pub fn store_fd(name: &str, fd: impl AsFd) -> io::Result<bool> {
    check_name(name)?;
    // Without polling, so that descriptors that end are kept as well.
    send(
        &format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"),
        &[fd.as_fd()],
    )
}

/// Has the service manager forget the descriptors stored under a name.
///
/// # Errors
///
/// As [`store_fd`].
pub fn remove_fd(name: &str) -> io::Result<bool> {
    check_name(name)?;
    notify(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
}

/// Has the service manager close its copy of a descriptor when it has done what it was
/// told before (sd_notify_barrier(3)).
///
/// # Errors
///
/// As [`notify`].
pub fn barrier(fd: impl AsFd) -> io::Result<bool> {
    send("BARRIER=1", &[fd.as_fd()])
}

fn check_name(name: &str) -> io::Result<()> {
    let fine = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if (1..=255).contains(&name.len()) && name.bytes().all(fine) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "a stored descriptor's name is 1 to 255 printable letters without a colon",
    ))
}

/// The service lives.
#[cfg(feature = "server")]
pub(crate) fn alive() {
    // The watchdog itself is the answer to a manager that does not hear.
    let _unheard = notify("WATCHDOG=1");
}

/// How often the service manager's watchdog wants to hear that the service
/// lives: at half of its time.
#[cfg(feature = "server")]
pub(crate) fn watchdog() -> Option<Duration> {
    let variable = |name: &str| std::env::var(name).ok();
    interval(
        std::process::id(),
        variable("WATCHDOG_PID").as_deref(),
        variable("WATCHDOG_USEC").as_deref(),
    )
}

#[cfg(feature = "server")]
fn interval(own: u32, pid: Option<&str>, micros: Option<&str>) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    let micros: u64 = micros?.parse().ok()?;
    (micros > 1).then(|| Duration::from_micros(micros / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "server")]
    #[test]
    fn the_watchdog_hears_twice_in_its_time() {
        let half = Some(Duration::from_secs(15));
        assert_eq!(interval(7, Some("7"), Some("30000000")), half);
        assert_eq!(interval(7, None, Some("30000000")), half);
        assert_eq!(interval(7, Some("8"), Some("30000000")), None);
        assert_eq!(interval(7, None, Some("0")), None);
        assert_eq!(interval(7, None, None), None);
    }

    #[test]
    fn only_names_that_come_back_whole_are_stored() {
        let null = std::fs::File::open("/dev/null").unwrap();
        for bad in ["", "a:b", "a\nFDSTORE=1", "a b"] {
            assert!(store_fd(bad, &null).is_err(), "{bad:?}");
        }
    }
}
