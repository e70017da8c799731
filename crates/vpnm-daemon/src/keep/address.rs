//! Where the process that holds the packet filter's socket listens.
//!
//! At a path, where root alone gets to, and under a name in no file system, which nobody
//! can remove. Anybody can take such a name, so that it is drawn, looked up among all
//! there are, and believed for whose process is behind it.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Who may wait to be answered: there is one daemon at a time.
pub(super) const BACKLOG: i32 = 16;

/// How names begin.
const NAME: &str = "vpnm-keeper-";
/// The kernel's list of Unix sockets in this network namespace (proc(5)).
const SOCKETS: &str = "/proc/thread-self/net/unix";
/// Among its flags: it listens (`__SO_ACCEPTCON`).
const LISTENS: u32 = 0x1_0000;

/// A listener at `path` that root alone can connect to.
pub(super) fn listen_at(path: &Path) -> io::Result<Socket> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = bound(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.listen(BACKLOG)?;
    Ok(listener)
}

/// A listener under a name that nobody has taken.
pub(super) fn listen_by_name() -> io::Result<Socket> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let number = u64::from_ne_bytes(bytes);
    let listener = bound(&named(&format!("{NAME}{number:016x}"))?)?;
    listener.listen(BACKLOG)?;
    Ok(listener)
}

/// The addresses of all who listen under such names, whoever they are.
pub(super) fn names() -> Vec<SockAddr> {
    let table = fs::read_to_string(SOCKETS).unwrap_or_default();
    listed(&table).filter_map(|name| named(name).ok()).collect()
}

fn bound(address: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(address)?;
    Ok(socket)
}

/// The address of a name in no file system, which a zero is before.
fn named(name: &str) -> io::Result<SockAddr> {
    let bytes = [b"\0", name.as_bytes()].concat();
    SockAddr::unix(PathBuf::from(OsString::from_vec(bytes)))
}

/// The names of ours in the kernel's list, which shows the zero as `@`.
fn listed(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let name = words.nth(3)?.strip_prefix('@')?;
        (flags & LISTENS != 0 && name.starts_with(NAME)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_listens_under_a_name_of_ours_is_listed() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000: 00000002 00000000 00010000 0001 01 1 @vpnm-keeper-1\n\
            0000: 00000003 00000000 00000000 0001 03 2 @vpnm-keeper-2\n\
            0000: 00000002 00000000 00010000 0001 01 3 vpnm-keeper-3\n\
            0000: 00000002 00000000 00010000 0001 01 4 @other\n\
            0000: 00000002 00000000 00010000 0001 01 5\n\
            0000: 00000002\n";
        assert_eq!(listed(table).collect::<Vec<_>>(), ["vpnm-keeper-1"]);
    }

    #[test]
    fn a_name_that_is_listened_under_is_found() {
        let listener = listen_by_name().unwrap();
        let own = listener.local_addr().unwrap();
        let found = names().into_iter().find(|address| *address == own);
        Socket::new(Domain::UNIX, Type::STREAM, None)
            .unwrap()
            .connect(&found.unwrap())
            .unwrap();
    }
}
