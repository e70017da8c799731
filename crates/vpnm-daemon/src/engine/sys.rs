//! From root to nobody, between fork and exec.
#![expect(unsafe_code, reason = "what is done between fork and exec")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::identity::Identity;

/// The descriptor on which the engine finds its end of the socket pair.
pub(super) const CONTROL: RawFd = 3;

/// The kernel gives no process more descriptors, unless told to (`fs.nr_open`).
const MOST_DESCRIPTORS: RawFd = 1 << 20;

/// What ends a process besides itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bond {
    /// The end of the thread that starts it.
    Parent,
    /// Nothing.
    None,
}

/// Has `command` run as `identity` with nothing but the standard streams and `control`
/// on descriptor 3.
///
/// `control` must stay open until the command was spawned.
pub(super) fn confine(
    command: &mut Command,
    control: BorrowedFd<'_>,
    identity: Identity,
    bond: Bond,
) {
    let control = control.as_raw_fd();
    let parent = rustix::process::getpid();
    // What is opened from here on is closed by exec anyway.
    let highest = highest_descriptor().unwrap_or(MOST_DESCRIPTORS);
    let drop_everything = move || {
        match bond {
            Bond::None => {
                leave_family()?;
                become_nobody(control, highest, identity)
            }
            Bond::Parent => {
                become_nobody(control, highest, identity)?;
                // After the change of user, which forgets it.
                rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
                let is_alone = rustix::process::getppid() != Some(parent);
                if is_alone {
                    Err(Errno::SRCH.into())
                } else {
                    Ok(())
                }
            }
        }
    };
    // SAFETY: the closure runs in the child between fork and exec and does nothing
    // but system calls on values it owns: no allocation, no lock, no other thread.
    unsafe { command.pre_exec(drop_everything) };
}

/// Goes on as a process that is not the starter's child, in a session of its own: its
/// end is nobody's to hear of, and no signal for the starter's group reaches it.
fn leave_family() -> io::Result<()> {
    // SAFETY: the process between fork and exec has one thread, and both that come of
    // it make system calls only.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        // SAFETY: ends the process at once, without what an exit would run.
        _ => unsafe { libc::_exit(0) },
    }
    rustix::process::setsid()?;
    Ok(())
}

fn become_nobody(control: RawFd, highest: RawFd, identity: Identity) -> io::Result<()> {
    keep_only(control, highest)?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    rustix::thread::set_no_new_privs(true)?;
    drop_bounding_set()?;
    let gid = Gid::from_raw(identity.gid);
    let uid = Uid::from_raw(identity.uid);
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    Ok(())
}

/// Moves the control socket to its place and has everything above it closed by exec.
fn keep_only(control: RawFd, highest: RawFd) -> io::Result<()> {
    // SAFETY: the caller of `confine` keeps the descriptor open until after the spawn.
    let source = unsafe { BorrowedFd::borrow_raw(control) };
    // SAFETY: `reserve_control` keeps 3 taken in the parent, so that here it is
    // ours to replace; it is not closed by us in the child because of the forget below.
    let mut place = unsafe { OwnedFd::from_raw_fd(CONTROL) };
    let moved = rustix::io::dup2(source, &mut place);
    // It belongs to the program that follows.
    let _kept = std::os::fd::IntoRawFd::into_raw_fd(place);
    moved?;
    close_on_exec(CONTROL + 1, highest)
}

/// The highest descriptor that is open.
fn highest_descriptor() -> Option<RawFd> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.flatten();
    open.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .max()
}

fn close_on_exec(first: RawFd, highest: RawFd) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: marking descriptors to be closed by exec touches no memory.
    let marked = unsafe { libc::close_range(first.cast_unsigned(), u32::MAX, flags) };
    if marked == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // The call knows this flag from Linux 5.11 on.
        Some(libc::EINVAL | libc::ENOSYS) => close_each_on_exec(first, highest),
        _ => Err(error),
    }
}

fn close_each_on_exec(first: RawFd, highest: RawFd) -> io::Result<()> {
    for number in first..=highest {
        // SAFETY: marking a descriptor, if there is one, touches no memory.
        let marked = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        if marked != 0 {
            let error = io::Error::last_os_error();
            if error.raw_os_error() != Some(libc::EBADF) {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Gives up the capabilities that an exec could bring back.
fn drop_bounding_set() -> io::Result<()> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // The kernel knows no capability of this number, nor of a higher one.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

    use super::*;

    #[test]
    fn descriptors_are_closed_by_exec_on_every_kernel() {
        let ways: [fn(RawFd, RawFd) -> io::Result<()>; 2] = [close_on_exec, close_each_on_exec];
        for way in ways {
            let files = [(); 3].map(|()| File::open("/dev/null").unwrap());
            let mut files = files.map(|file| (file.as_raw_fd(), file));
            files.sort_by_key(|(number, _)| *number);
            for (_, file) in &files {
                fcntl_setfd(file, FdFlags::empty()).unwrap();
            }
            let flags = |file: &File| fcntl_getfd(file.as_fd()).unwrap();
            let [(_, below), (first, file), (_, above)] = &files;
            let highest = highest_descriptor().unwrap();
            assert!(highest >= above.as_raw_fd());
            way(*first, highest).unwrap();
            assert_eq!(flags(below), FdFlags::empty());
            assert_eq!([flags(file), flags(above)], [FdFlags::CLOEXEC; 2]);
        }
    }
}
