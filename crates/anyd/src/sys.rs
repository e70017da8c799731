//! The few system calls that the standard library and rustix do not offer.
#![expect(
    unsafe_code,
    reason = "socket options without a safe wrapper, inherited and watched descriptors"
)]

use std::io;
#[cfg(any(feature = "client", feature = "server", feature = "systemd"))]
use std::os::fd::OwnedFd;
use std::os::fd::{AsFd, AsRawFd as _};
#[cfg(any(feature = "server", feature = "systemd"))]
use std::os::fd::{FromRawFd as _, RawFd};

#[cfg(any(feature = "client", feature = "server"))]
use std::sync::Arc;

#[cfg(any(feature = "client", feature = "server"))]
use tokio::io::{Interest, unix::AsyncFd};

/// Peer's pidfd (since Linux 6.5).
#[cfg(feature = "server")]
const SO_PEERPIDFD: libc::c_int = 77;
/// Whether descriptors may be received at all (since Linux 6.16).
#[cfg(feature = "server")]
const SO_PASSRIGHTS: libc::c_int = 83;

/// Who connected: process, user and group id as of the connection.
pub(crate) fn peer_credentials(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = socklen(size_of::<libc::ucred>());
    // SAFETY: the pointers are to a ucred and to its length, both alive.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    succeeded(result)?;
    if length != socklen(size_of::<libc::ucred>()) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(credentials)
}

/// The peer's supplementary groups.
#[cfg(feature = "server")]
pub(crate) fn peer_groups(socket: impl AsFd) -> io::Result<Box<[u32]>> {
    let mut few = [0_u32; 32];
    let mut many = Vec::new();
    loop {
        let groups = if many.is_empty() {
            &mut few[..]
        } else {
            &mut many
        };
        let room = size_of_val(groups);
        match get_option(&socket, libc::SO_PEERGROUPS, groups, room) {
            Ok(length) => {
                let count = length / size_of::<u32>();
                return Ok(groups.get(..count).unwrap_or_default().into());
            }
            // The kernel knows at most 65536 groups.
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && many.len() < 65536 => {
                many.resize(many.len().max(few.len()) * 8, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The peer's security label, if a security module gives it one.
#[cfg(feature = "server")]
pub(crate) fn peer_label(socket: impl AsFd) -> Option<String> {
    let mut label = [0_u8; 256];
    let room = label.len();
    let length = get_option(&socket, libc::SO_PEERSEC, &mut label, room).ok()?;
    let text = std::str::from_utf8(label.get(..length)?).ok()?;
    let text = text.trim_end_matches('\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// A descriptor of the peer's process.
#[cfg(feature = "server")]
pub(crate) fn peer_pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut fd = [-1_i32];
    get_option(&socket, SO_PEERPIDFD, &mut fd, size_of::<RawFd>())?;
    let [fd] = fd;
    if fd < 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Tells the kernel not to take descriptors from the peer: it then gets an
/// error. Kernels before 6.16 do not know the option; there, descriptors are
/// dropped because nothing here asks for them.
#[cfg(feature = "server")]
pub(crate) fn refuse_descriptors(socket: impl AsFd) {
    let off: libc::c_int = 0;
    // SAFETY: the pointer is to an int and the length is an int's.
    let _unsupported = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            socklen(size_of::<libc::c_int>()),
        )
    };
}

/// A descriptor that the runtime watches.
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) type Watched = AsyncFd<Arc<OwnedFd>>;

/// Has the runtime around watch a descriptor.
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) fn watched(fd: Arc<OwnedFd>, interest: Interest) -> io::Result<Watched> {
    // SAFETY: it is open for as long as the Arc is there, and never another.
    let watched = unsafe { AsyncFd::register_with_interest(fd, interest) };
    Ok(watched?)
}

/// Takes over a descriptor that the process was started with.
///
/// The caller vouches that nobody else owns it: each is taken once.
#[cfg(feature = "systemd")]
pub(crate) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on any number is harmless; an unused one gives EBADF.
    succeeded(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, as fcntl has shown, and taken once, as the caller says.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads an option into a slice; how many bytes it is.
#[cfg(feature = "server")]
fn get_option<T: Copy>(
    socket: &impl AsFd,
    option: libc::c_int,
    value: &mut [T],
    room: usize,
) -> io::Result<usize> {
    debug_assert!(room <= size_of_val(value), "the kernel writes `room` bytes");
    let mut length = socklen(room);
    // SAFETY: the slice is alive and at least `length` bytes long, and its
    // items are integers, for which every pattern of bits is a value.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    succeeded(result)?;
    usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn succeeded(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn socklen(size: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(size).unwrap_or(0)
}
