//! A hostile program in the engine's place: what can it do once it is in the jail?
//!
//! Each attempt is a process of its own, started by this one as an unprivileged user.
//! It enters the jail and then tries one thing. The kernel must kill it; an attempt
//! that merely fails would leave it free to try the next.

#![expect(
    clippy::print_stdout,
    reason = "this test binary has no harness and reports by itself"
)]

use std::env;
use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;

use rustix::net::{AddressFamily, SocketType, socket};
use tokio::runtime::Runtime;
use vpnm_engine::sandbox::{Limits, SandboxError, enter};

const UNPRIVILEGED: u32 = 65_534;
const ATTEMPT: &str = "VPNM_JAIL_ATTEMPT";
const ROOT_REFUSED: u8 = 99;

type Attempt = (&'static str, fn());

macro_rules! attempt {
    ($what:expr) => {
        || {
            drop($what);
        }
    };
}

/// Each must be answered by the kernel with the end of the process.
const FORBIDDEN: &[Attempt] = &[
    ("open a file", attempt!(File::open("/etc/passwd"))),
    ("list a directory", attempt!(std::fs::read_dir("/proc"))),
    ("create a file", attempt!(File::create("/tmp/vpnm-jail"))),
    (
        "execute a program",
        attempt!(Command::new("/bin/true").exec()),
    ),
    (
        "start a process",
        attempt!(Command::new("/bin/true").spawn()),
    ),
    (
        "start a thread",
        attempt!(thread::Builder::new().spawn(|| ())),
    ),
    (
        "listen on a port",
        attempt!(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))),
    ),
    (
        "bind a datagram socket",
        attempt!(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))),
    ),
    (
        "reach a socket of this machine",
        attempt!(UnixStream::connect("/run/vpnm/vpnmd.sock")),
    ),
    (
        "open a packet socket",
        attempt!(socket(AddressFamily::PACKET, SocketType::RAW, None)),
    ),
    (
        "open a netlink socket",
        attempt!(socket(AddressFamily::NETLINK, SocketType::RAW, None)),
    ),
    (
        "change the working directory",
        attempt!(env::set_current_dir("/")),
    ),
    ("signal another process", sys::signal_parent),
    ("trace another process", sys::trace_parent),
    ("map executable memory", sys::map_executable),
];

mod sys {
    #![expect(unsafe_code, reason = "some attempts have no safe wrapper, on purpose")]

    fn parent() -> libc::pid_t {
        std::os::unix::process::parent_id().try_into().unwrap_or(1)
    }

    pub(super) fn trace_parent() {
        let parent = parent();
        // SAFETY: PTRACE_SEIZE takes no pointer that the kernel would write through.
        unsafe { libc::ptrace(libc::PTRACE_SEIZE, parent, 0, 0) };
    }

    pub(super) fn signal_parent() {
        let parent = parent();
        // SAFETY: kill takes no pointer; signal 0 only asks.
        unsafe { libc::kill(parent, 0) };
    }

    pub(super) fn map_executable() {
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a fresh anonymous mapping aliases nothing.
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    }
}

fn main() -> ExitCode {
    match env::var(ATTEMPT) {
        Ok(attempt) => inside(&attempt),
        Err(_) => outside(),
    }
}

fn inside(attempt: &str) -> ExitCode {
    // As the engine does: its event loop is older than the jail.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    if let Err(error) = enter(Limits::default()) {
        println!("{error}");
        let code = if matches!(error, SandboxError::Root) {
            ROOT_REFUSED
        } else {
            1
        };
        return ExitCode::from(code);
    }
    match FORBIDDEN.iter().find(|(name, _)| *name == attempt) {
        Some((_, attack)) => attack(),
        None => the_engine_can_work(&runtime),
    }
    ExitCode::SUCCESS
}

/// What must stay possible, so that the jail is not proven by a process that cannot even start.
fn the_engine_can_work(runtime: &Runtime) {
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, 9))
        .expect_err("nothing listens on the discard port");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut seed = [0_u8; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()).expect("randomness");
    runtime.block_on(async { tokio::time::sleep(std::time::Duration::from_millis(1)).await });
    std::io::stdout()
        .write_all(b"the engine can work\n")
        .expect("standard output");
}

fn outside() -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        println!("SKIP the jail: needs root to start a process as another user");
        println!("0 passed, 0 failed, 1 skipped");
        return if env::var_os("VPNM_LAB").is_some_and(|v| v == "require") {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    let mut failed = 0_usize;
    let mut check = |name: &str, held: Result<(), String>| match held {
        Ok(()) => println!("test {name} ... ok"),
        Err(why) => {
            failed += 1;
            println!("test {name} ... FAILED: {why}");
        }
    };
    check(
        "root is refused",
        exits_with(run("work", 0), i32::from(ROOT_REFUSED)),
    );
    check(
        "the engine can work",
        exits_with(run("work", UNPRIVILEGED), 0),
    );
    for (name, _) in FORBIDDEN {
        check(
            &format!("killed: {name}"),
            killed_by_the_filter(run(name, UNPRIVILEGED)),
        );
    }
    println!("{} passed, {failed} failed", FORBIDDEN.len() + 2 - failed);
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(attempt: &str, uid: u32) -> ExitStatus {
    Command::new("/proc/self/exe")
        .env_clear()
        .env(ATTEMPT, attempt)
        .uid(uid)
        .gid(uid)
        .stdin(Stdio::null())
        .status()
        .expect("this program can start itself")
}

fn exits_with(status: ExitStatus, code: i32) -> Result<(), String> {
    if status.code() == Some(code) {
        Ok(())
    } else {
        Err(status.to_string())
    }
}

fn killed_by_the_filter(status: ExitStatus) -> Result<(), String> {
    if status.signal() == Some(libc::SIGSYS) {
        Ok(())
    } else {
        Err(status.to_string())
    }
}
