//! Which system calls the engine makes once it is in its jail, counted from outside.
//!
//! The method: the engine is traced from its first instruction, every call after
//! the filter was installed is noted, and the notes are held against the reviewed
//! list. A call that is listed as made in every session and was not made is a
//! hole in the wall without a purpose.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use vpnm_engine::sandbox::{ALLOWED, Use};

use crate::station::Outcome;

/// System call numbers and how often each was made inside the jail.
pub(crate) type Counts = BTreeMap<i64, u64>;

/// A process followed from its start to its end by a thread of its own.
pub(crate) struct Tracer {
    counting: JoinHandle<Result<Counts, rustix::io::Errno>>,
}

impl Tracer {
    /// Follows a process; returns once every further call of it is seen.
    pub(crate) fn follow(process: &Child) -> Outcome<Self> {
        let pid = i32::try_from(process.id())?;
        let (begun, beginning) = sync_channel(1);
        let counting = thread::spawn(move || count(pid, &begun));
        beginning.recv()?;
        Ok(Self { counting })
    }

    /// The counts, once the process has ended.
    pub(crate) fn counts(self) -> Outcome<Counts> {
        Ok(self.counting.join().map_err(|_| "the tracer broke")??)
    }
}

/// The listed calls that were to be made in every session and were not.
pub(crate) fn unused(counts: &Counts) -> Vec<&'static str> {
    let always = ALLOWED
        .iter()
        .filter(|entry| matches!(entry.used, Use::Always(_)));
    let missing = always.filter(|entry| !counts.contains_key(&entry.number));
    missing.map(|entry| entry.name).collect()
}

fn count(pid: i32, begun: &SyncSender<()>) -> Result<Counts, rustix::io::Errno> {
    let mut counts = Counts::new();
    let mut jailed = false;
    sys::seize(pid)?;
    // The other end only waits for the first message.
    begun.send(()).ok();
    sys::interrupt(pid)?;
    loop {
        match sys::wait(pid)? {
            sys::Stop::Ended => return Ok(counts),
            sys::Stop::Call(number) => {
                if jailed {
                    *counts.entry(number).or_default() += 1;
                }
                jailed |= number == libc::SYS_seccomp;
                sys::go_on(pid, 0)?;
            }
            sys::Stop::Signal(signal) => sys::go_on(pid, signal)?,
            sys::Stop::Other => sys::go_on(pid, 0)?,
        }
    }
}

mod sys {
    #![expect(unsafe_code, reason = "ptrace has no safe interface")]

    use std::ffi::c_void;
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    use rustix::io::Errno;
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

    /// Why the traced process stands.
    pub(super) enum Stop {
        /// It has ended.
        Ended,
        /// It begins a system call.
        Call(i64),
        /// It is about to receive a signal.
        Signal(i32),
        /// It ends a system call, or was interrupted.
        Other,
    }

    fn request(what: libc::c_uint, pid: i32, data: *mut c_void) -> Result<(), Errno> {
        // SAFETY: requests used here read or write no memory of this process but `data`.
        let result = unsafe { libc::ptrace(what, pid, null_mut::<c_void>(), data) };
        if result == -1 { Err(last()) } else { Ok(()) }
    }

    fn last() -> Errno {
        Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
    }

    pub(super) fn seize(pid: i32) -> Result<(), Errno> {
        let options = usize::try_from(libc::PTRACE_O_TRACESYSGOOD).unwrap_or(1);
        request(
            libc::PTRACE_SEIZE,
            pid,
            std::ptr::without_provenance_mut(options),
        )
    }

    pub(super) fn interrupt(pid: i32) -> Result<(), Errno> {
        request(libc::PTRACE_INTERRUPT, pid, null_mut())
    }

    pub(super) fn go_on(pid: i32, signal: i32) -> Result<(), Errno> {
        let signal = usize::try_from(signal).unwrap_or(0);
        request(
            libc::PTRACE_SYSCALL,
            pid,
            std::ptr::without_provenance_mut(signal),
        )
    }

    /// Waits for the next stop; an end is left for the process's parent to collect.
    pub(super) fn wait(pid: i32) -> Result<Stop, Errno> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        let process = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
        let news = waitid(WaitId::Pid(process), options)?;
        if news.is_none_or(|news| news.exited() || news.killed() || news.dumped()) {
            return Ok(Stop::Ended);
        }
        let mut status = 0;
        // SAFETY: the pointer is to a local of the right type.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        if waited == -1 {
            return Err(last());
        }
        if !libc::WIFSTOPPED(status) {
            return Ok(Stop::Ended);
        }
        if status >> 16 != 0 {
            return Ok(Stop::Other);
        }
        match libc::WSTOPSIG(status) {
            stopped if stopped == libc::SIGTRAP | 0x80 => entered(pid),
            libc::SIGTRAP => Ok(Stop::Other),
            signal => Ok(Stop::Signal(signal)),
        }
    }

    /// The number of the call that begins, if one does.
    fn entered(pid: i32) -> Result<Stop, Errno> {
        let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of::<libc::ptrace_syscall_info>();
        // SAFETY: the kernel writes at most `size` bytes to a local of that size.
        let written =
            unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, info.as_mut_ptr()) };
        if written == -1 {
            return Err(last());
        }
        // SAFETY: it was zeroed, which is valid for it, and then written by the kernel.
        let info = unsafe { info.assume_init() };
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return Ok(Stop::Other);
        }
        // SAFETY: the kernel says that this variant is the one it wrote.
        let number = unsafe { info.u.entry.nr };
        Ok(Stop::Call(i64::try_from(number).unwrap_or(i64::MAX)))
    }
}
