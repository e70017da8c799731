//! The system calls the engine may make, each with the reason.
//!
//! A review reads this file and nothing else. An entry that no run of the engine
//! uses is an error of the tests, unless it is marked [`Use::Rare`], which says when
//! it happens.

use libc::c_long;

/// One permitted system call.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The call's number on this architecture.
    pub number: c_long,
    /// The call's name, for the tests and the reader.
    pub name: &'static str,
    /// What its arguments must look like.
    pub argument: Argument,
    /// Why the engine makes the call, and how often.
    pub used: Use,
}

/// When a permitted call happens.
#[derive(Debug, Clone, Copy)]
pub enum Use {
    /// In every session that carries traffic.
    Always(&'static str),
    /// Only in the situation the text names.
    Rare(&'static str),
}

/// A condition on the arguments of a call. Arguments are compared as the kernel sees
/// them; pointers cannot be looked through.
#[derive(Debug, Clone, Copy)]
pub enum Argument {
    /// Anything.
    Any,
    /// The argument at this index is one of these values.
    OneOf(u8, &'static [u64]),
    /// None of these bits is set in the argument at this index.
    Without(u8, u64),
}

const PROT_EXEC: u64 = 0x4;
const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
const F_GETFD: u64 = 1;
const FIONBIO: u64 = 0x5421;
const TUNGETIFF: u64 = 0x8004_54d2;
const TUNSETOFFLOAD: u64 = 0x4004_54d0;
const TUNGETVNETHDRSZ: u64 = 0x8004_54d7;

const fn entry(number: c_long, name: &'static str, argument: Argument, used: Use) -> Entry {
    Entry {
        number,
        name,
        argument,
        used,
    }
}

macro_rules! always {
    ($call:ident, $name:literal, $why:literal) => {
        entry(libc::$call, $name, Argument::Any, Use::Always($why))
    };
    ($call:ident, $name:literal, $argument:expr, $why:literal) => {
        entry(libc::$call, $name, $argument, Use::Always($why))
    };
}

macro_rules! rare {
    ($call:ident, $name:literal, $why:literal) => {
        entry(libc::$call, $name, Argument::Any, Use::Rare($why))
    };
    ($call:ident, $name:literal, $argument:expr, $why:literal) => {
        entry(libc::$call, $name, $argument, Use::Rare($why))
    };
}

/// The allow-list. Whatever is not here ends the process at once.
pub const ALLOWED: &[Entry] = &[
    // Moving bytes.
    always!(SYS_read, "read", "packets of the device, wake-ups"),
    always!(
        SYS_write,
        "write",
        "packets to the device, wake-ups, log lines"
    ),
    always!(
        SYS_writev,
        "writev",
        "a packet's header and payload from separate buffers"
    ),
    rare!(SYS_readv, "readv", "a stream that reads into two buffers"),
    always!(SYS_recvfrom, "recvfrom", "bytes of an outbound connection"),
    always!(SYS_sendto, "sendto", "bytes to an outbound connection"),
    always!(
        SYS_recvmsg,
        "recvmsg",
        "what the daemon asks, with its descriptors"
    ),
    // Outbound sockets. No other family than IP can be opened, and nothing can be bound.
    always!(
        SYS_socket,
        "socket",
        Argument::OneOf(0, &[AF_INET, AF_INET6]),
        "a connection to the server"
    ),
    always!(SYS_connect, "connect", "a connection to the server"),
    always!(
        SYS_setsockopt,
        "setsockopt",
        "TCP_NODELAY, TCP_USER_TIMEOUT, SO_LINGER, IP_LOCAL_PORT_RANGE"
    ),
    always!(
        SYS_getsockopt,
        "getsockopt",
        "SO_ERROR: how a connection attempt ended"
    ),
    always!(
        SYS_shutdown,
        "shutdown",
        "half-closing an outbound connection"
    ),
    always!(
        SYS_accept4,
        "accept4",
        "a DNS query over TCP on a listener the daemon handed over"
    ),
    always!(SYS_close, "close", "a flow ended"),
    // Waiting.
    always!(SYS_epoll_ctl, "epoll_ctl", "registering a descriptor"),
    #[cfg(target_arch = "x86_64")]
    always!(SYS_epoll_wait, "epoll_wait", "the event loop"),
    #[cfg(not(target_arch = "x86_64"))]
    always!(SYS_epoll_pwait, "epoll_pwait", "the event loop"),
    always!(
        SYS_timerfd_create,
        "timerfd_create",
        "the clock of a device's queue, once"
    ),
    always!(
        SYS_timerfd_settime,
        "timerfd_settime",
        "when something is due next"
    ),
    always!(
        SYS_ppoll,
        "ppoll",
        "whether the daemon has hung up, without waiting"
    ),
    rare!(
        SYS_futex,
        "futex",
        "a contended lock; there is one thread, so hardly ever"
    ),
    rare!(
        SYS_restart_syscall,
        "restart_syscall",
        "a wait continued after the process was stopped"
    ),
    rare!(
        SYS_clock_gettime,
        "clock_gettime",
        "the clock, where the kernel gives no fast path"
    ),
    // Memory, never executable.
    rare!(SYS_mmap, "mmap", Argument::Without(2, PROT_EXEC), "memory"),
    rare!(SYS_munmap, "munmap", "memory"),
    rare!(SYS_mremap, "mremap", "a large buffer grows"),
    rare!(SYS_madvise, "madvise", "giving memory back"),
    rare!(
        SYS_mprotect,
        "mprotect",
        Argument::Without(2, PROT_EXEC),
        "the allocator extends an arena"
    ),
    rare!(SYS_brk, "brk", "memory"),
    // Randomness, from the kernel and nowhere else.
    always!(
        SYS_getrandom,
        "getrandom",
        "seeds of keys and sequence numbers"
    ),
    // Descriptors that were handed over.
    always!(
        SYS_fcntl,
        "fcntl",
        "non-blocking mode, duplicating a handed-over descriptor"
    ),
    always!(
        SYS_ioctl,
        "ioctl",
        Argument::OneOf(1, &[FIONBIO, TUNGETIFF, TUNSETOFFLOAD, TUNGETVNETHDRSZ]),
        "non-blocking mode; what the device was opened with"
    ),
    always!(
        SYS_uname,
        "uname",
        "which super-packets this kernel takes, once per device"
    ),
    // About itself.
    rare!(
        SYS_getpid,
        "getpid",
        "whether it was forked, before randomness is drawn; abort"
    ),
    // Ending.
    rare!(
        SYS_rt_sigprocmask,
        "rt_sigprocmask",
        "abort blocks signals before it raises one"
    ),
    rare!(
        SYS_rt_sigaction,
        "rt_sigaction",
        "abort restores the default handler"
    ),
    rare!(
        SYS_rt_sigreturn,
        "rt_sigreturn",
        "return from a signal handler"
    ),
    rare!(SYS_sigaltstack, "sigaltstack", "the main thread ends"),
    rare!(
        SYS_tgkill,
        "tgkill",
        Argument::Any,
        "abort raises its signal"
    ),
    rare!(SYS_exit, "exit", "the last thread ends"),
    always!(SYS_exit_group, "exit_group", "the daemon has gone"),
];

/// The list of the process that keeps the packet filter's socket while no daemon lives:
/// it waits, gives the socket to root, and waits again.
pub const KEEPER: &[Entry] = &[
    #[cfg(target_arch = "x86_64")]
    always!(SYS_poll, "poll", "waiting to be asked"),
    always!(SYS_ppoll, "ppoll", "the same, elsewhere"),
    always!(SYS_accept4, "accept4", "the next daemon, or a cleanup"),
    always!(
        SYS_getsockopt,
        "getsockopt",
        "SO_PEERCRED: whether that is root"
    ),
    always!(SYS_sendmsg, "sendmsg", "the socket, given to root"),
    always!(SYS_close, "close", "whoever asked has the answer"),
    rare!(
        SYS_fcntl,
        "fcntl",
        Argument::OneOf(1, &[F_GETFD]),
        "a build for tests makes sure of what it closes"
    ),
    rare!(
        SYS_restart_syscall,
        "restart_syscall",
        "a wait continued after the process was stopped"
    ),
    rare!(
        SYS_exit_group,
        "exit_group",
        "whoever the daemon was to end with has ended"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_call_is_listed_twice() {
        for list in [ALLOWED, KEEPER] {
            let numbers: BTreeSet<_> = list.iter().map(|entry| entry.number).collect();
            assert_eq!(numbers.len(), list.len());
        }
    }

    #[test]
    fn nothing_that_reaches_beyond_the_process_is_listed() {
        let forbidden = [
            "open",
            "openat",
            "openat2",
            "execve",
            "execveat",
            "clone",
            "clone3",
            "fork",
            "vfork",
            "ptrace",
            "bind",
            "listen",
            "kill",
            "tkill",
            "setuid",
            "setgid",
            "setns",
            "unshare",
            "mount",
            "bpf",
            "perf_event_open",
            "process_vm_readv",
            "process_vm_writev",
            "io_uring_setup",
            "memfd_create",
            "pidfd_open",
            "pidfd_getfd",
            "userfaultfd",
            "keyctl",
            "add_key",
            "seccomp",
            "prctl",
            "chroot",
        ];
        for entry in ALLOWED.iter().chain(KEEPER) {
            assert!(!forbidden.contains(&entry.name), "{} is listed", entry.name);
        }
    }

    #[test]
    fn every_entry_says_why() {
        for entry in ALLOWED.iter().chain(KEEPER) {
            let (Use::Always(why) | Use::Rare(why)) = entry.used;
            assert!(why.len() > 4, "{} has no reason", entry.name);
        }
    }
}
