//! Who holds the packet filter while no daemon lives.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use serde_json::{Value, json};
use vpnm_lab::machine::{shell, shell_as, start, status_field, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::{Signal, User};

use crate::failures::clean_up;
use crate::leaks;
use crate::scene::{PATIENCE, Scene, connected, ensure_blocked, wait_for_tunnel};

pub(crate) const CASES: &[Scene] = &[
    (
        "nobody flushes the filter while the daemon is dead, and the next owns it at once",
        flushed_while_dead,
    ),
    (
        "who keeps the filter has no rights and gives it to root alone",
        keeper_is_nobody,
    ),
    (
        "a keeper that dies is replaced, and one that hangs hinders nobody",
        keeper_dies_and_hangs,
    ),
    (
        "a keeper that ends before it answers is replaced by the look that misses it",
        keeper_ends_early,
    ),
    (
        "a filter that nobody keeps is told of for as long as that is so",
        unkept_is_told,
    ),
    (
        "a keeper whose path is gone is found, and no stranger is taken for it",
        found_without_its_path,
    ),
    (
        "older kernels: nobody flushes the copy of the filter while the daemon is dead",
        flushed_while_dead_before_6_9,
    ),
    (
        "older kernels: the copy of a keeper that hangs holds until there is another filter",
        hangs_before_6_9,
    ),
];

/// As on Debian 12: a table that has an owner ends with it, and a connection does not name
/// the process behind it.
const OLDER: &[(&str, &str)] = &[("VPNM_LINUX", "6.1")];

/// Succeeds if our tables can be taken away.
const TAKE_AWAY: &str = "nft flush ruleset; nft delete table inet vpnm || \
    nft delete table netdev vpnm || nft add rule inet vpnm output accept";

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process id")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

fn ensure_held(session: &Session) -> Result<()> {
    ensure!(
        shell(session.client(), TAKE_AWAY).is_err(),
        "the tables could be changed"
    );
    let output = shell(session.client(), "nft list chain inet vpnm output")?;
    ensure!(output.contains("policy drop"), "{output}");
    Ok(())
}

fn flushed_while_dead() -> Result<()> {
    let mut session = connected()?;
    let keeper = session.keeper_pid()?;
    for ending in [Signal::KILL, Signal::TERM] {
        match ending {
            Signal::KILL => session.kill_daemon()?,
            _ => session.end_daemon()?,
        }
        ensure_held(&session)?;
        ensure_blocked(&session)?;
        session.start_daemon()?;
        wait_for_tunnel(&session)?;
        ensure!(session.keeper_pid()? == keeper, "another keeper");
    }
    session.end()?;
    Ok(())
}

fn keeper_is_nobody() -> Result<()> {
    let mut session = connected()?;
    let keeper = session.keeper_pid()?;
    session.kill_daemon()?;
    for (field, value) in [
        ("Uid", "7670\t7670\t7670\t7670"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ] {
        let found = status_field(keeper, field)?;
        ensure!(found == value, "{field}: {found}");
    }
    let ask = "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); \
        s.connect(\"/run/vpnm/keeper.sock\"); print(len(socket.recv_fds(s, 1, 3)[1]))'";
    ensure!(
        shell_as(session.client(), User::Mallory, ask).is_err(),
        "a stranger reached it"
    );
    let given = shell(session.client(), ask)?;
    ensure!(given.trim() == "1", "root was given {given}");
    ensure_held(&session)?;
    clean_up(&session)
}

fn keeper_dies_and_hangs() -> Result<()> {
    let mut session = connected()?;
    let first = session.keeper_pid()?;
    signal(first, Signal::KILL)?;
    ensure_held(&session)?;
    // The next look at the host finds that there is none.
    shell(session.client(), "ip rule del pref 7618")?;
    let second = wait_for("another keeper", PATIENCE, || Ok(session.keeper_pid().ok()))?;
    ensure!(second != first);
    signal(second, Signal::STOP)?;
    session.kill_daemon()?;
    ensure_held(&session)?;
    session.start_daemon()?;
    wait_for_tunnel(&session)?;
    ensure!(session.keeper_pid()? != second, "one that hangs was kept");
    ensure_held(&session)?;
    session.end()?;
    Ok(())
}

/// Becomes the program that follows, whose first keeper never comes to listening: the kernel
/// asks a process beside it about every listen(2) (seccomp_unotify(2)), which lets all others.
const FIRST_HANGS: &[&str] = &[
    "/usr/bin/python3",
    "-c",
    "\
import ctypes, os, struct, sys
listen, seccomp = {'x86_64': (50, 317), 'aarch64': (201, 277)}[os.uname().machine]
receive, send = ctypes.c_ulong(0xc0502100), ctypes.c_ulong(0xc0182101)
steps = (0x20, 0, 0, 0), (0x15, 0, 1, listen), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000)
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
libc = ctypes.CDLL(None)
calls = libc.syscall(seccomp, 1, 8, struct.pack('HxxxxxxP', len(steps), ctypes.addressof(code)))
assert calls >= 0
if os.fork():
    os.execv(sys.argv[1], sys.argv[1:])
libc.prctl(1, 9)
has_hung = False
while True:
    call = ctypes.create_string_buffer(80)
    if libc.ioctl(calls, receive, call) < 0:
        continue
    number, caller = struct.unpack_from('QI', call)
    is_keeper = b'\\0keep\\0' in open(f'/proc/{caller}/cmdline', 'rb').read()
    if has_hung or not is_keeper:
        libc.ioctl(calls, send, struct.pack('QqiI', number, 0, 0, 1))
    else:
        has_hung = True
",
];

fn keeper_ends_early() -> Result<()> {
    /// Others touch the host, so that it is looked at.
    const TOUCH: &str = "ip rule del pref 7618 || true";
    const WATCH: &str = "exec /run/lab/vpnm status --watch --json > /run/told";
    let mut session = Session::begin(None)?;
    session.launch_daemon_by(FIRST_HANGS, &[])?;
    session.wait_for_state(&["disconnected"])?;
    session.connect()?;
    let first = session.keeper_pid()?;
    let _watch = start(session.client(), WATCH)?;
    let told = || shell(session.client(), "touch /run/told; cat /run/told");
    let is_told = |state: &str| {
        let state = format!("{{\"name\":\"{state}\"");
        wait_for(&state, PATIENCE, || {
            Ok(told()?.contains(&state).then_some(()))
        })
    };
    is_told("connected")?;
    signal(first, Signal::KILL)?;
    wait_for("another keeper", PATIENCE, || {
        // It may be in the middle of its end, and looked at again.
        shell(session.client(), TOUCH)?;
        let keeper = session.keeper_pid().ok();
        Ok(keeper.filter(|keeper| *keeper != first))
    })?;
    ensure_held(&session)?;
    session.command(&["disconnect"])?;
    is_told("disconnected")?;
    let told = told()?;
    ensure!(!told.contains("no_process"), "there was none: {told}");
    session.end()?;
    Ok(())
}

/// What the status says of it, and what the doctor thinks of that.
fn told(session: &Session) -> Result<(Option<String>, String)> {
    let status = session.status()?;
    let unkept = status.get("unkept").and_then(Value::as_str);
    // Other checks may find a problem here: how it ends says nothing.
    let findings = session.vpnm(User::Alice, &["doctor", "--json"])?.stdout;
    let findings: Value = serde_json::from_slice(&findings)?;
    let checks = findings.get("checks").and_then(Value::as_array);
    let mut checks = checks.context("no checks")?.iter();
    let kept = checks.find(|check| check.get("name") == Some(&json!("kept")));
    let severity = kept.and_then(|check| check.get("severity")?.as_str());
    let severity = severity.context("there is no check of that name")?;
    Ok((unkept.map(str::to_owned), severity.to_owned()))
}

fn unkept_is_told() -> Result<()> {
    /// Others touch the host, so that it is looked at.
    const TOUCH: &str = "ip rule del pref 7618";
    let mut session = connected()?;
    ensure!(told(&session)? == (None, "good".to_owned()));
    // No other can listen there.
    shell(
        session.client(),
        "rm /run/vpnm/keeper.sock && mkdir /run/vpnm/keeper.sock",
    )?;
    signal(session.keeper_pid()?, Signal::KILL)?;
    shell(session.client(), TOUCH)?;
    wait_for("the status to say so", PATIENCE, || {
        Ok((told(&session)?.0.as_deref() == Some("no_process")).then_some(()))
    })?;
    ensure!(told(&session)?.1 == "warning");
    let text = session.command(&["status"])?;
    ensure!(text.contains("unkept"), "{text}");
    // It is true.
    session.kill_daemon()?;
    shell(session.client(), "nft flush ruleset")?;
    ensure!(shell(session.client(), "nft list tables")?.is_empty());
    session.start_daemon()?;
    wait_for_tunnel(&session)?;
    wait_for("the status to say so", PATIENCE, || {
        Ok(told(&session)?.0.is_some().then_some(()))
    })?;
    shell(session.client(), "rmdir /run/vpnm/keeper.sock")?;
    shell(session.client(), TOUCH)?;
    wait_for("the status not to say so", PATIENCE, || {
        Ok((told(&session)? == (None, "good".to_owned())).then_some(()))
    })?;
    session.keeper_pid()?;
    session.end()?;
    Ok(())
}

fn found_without_its_path() -> Result<()> {
    const STRANGERS: &str = "import socket, time\nall = []\nfor n in range(100):\n \
        address = '\\0vpnm-keeper-%016x' % n\n \
        listener = socket.socket(socket.AF_UNIX); listener.bind(address); listener.listen(0)\n \
        inside = socket.socket(socket.AF_UNIX); inside.connect(address) if n % 2 else None\n \
        all += [listener, inside]\ntime.sleep(600)";
    let mut session = connected()?;
    let strangers = session.client().command("python3").user(User::Mallory);
    let _strangers = strangers.args(["-c", STRANGERS]).spawn()?;
    wait_for("strangers", PATIENCE, || {
        let count = "grep -c @vpnm-keeper- /proc/net/unix || true";
        let names = shell(session.client(), count)?;
        Ok((names.trim().parse::<u32>()? > 100).then_some(()))
    })?;
    let without_path = |session: &mut Session| -> Result<()> {
        session.kill_daemon()?;
        shell(session.client(), "rm /run/vpnm/keeper.sock")?;
        ensure_held(session)
    };
    without_path(&mut session)?;
    session.start_daemon()?;
    wait_for_tunnel(&session)?;
    session.keeper_pid()?;
    ensure_held(&session)?;
    without_path(&mut session)?;
    clean_up(&session)
}

fn start_older(session: &mut Session, state: &str) -> Result<()> {
    session.launch_daemon(OLDER)?;
    session.wait_for_state(&[state]).map(drop)
}

/// Takes the packet filter away as far as that is possible, and the rules; what is left.
fn flush_all(session: &Session) -> Result<String> {
    shell(
        session.client(),
        "nft flush ruleset; for v in -4 -6; do for n in $(seq 7600 7620); do \
             while ip $v rule del pref $n; do :; done; done; done 2> /dev/null; nft list tables",
    )
}

fn ensure_copy_holds(session: &Session) -> Result<()> {
    let left = flush_all(session)?;
    ensure!(
        left.lines().all(|line| line.ends_with(" vpnm-shadow")) && left.contains("inet"),
        "{left}"
    );
    let (leaked, attempts) = leaks::check(session)?;
    ensure!(leaked.is_empty() && attempts > 18, "{attempts}: {leaked:?}");
    Ok(())
}

fn flushed_while_dead_before_6_9() -> Result<()> {
    let mut session = Session::begin(None)?;
    start_older(&mut session, "disconnected")?;
    session.connect()?;
    session.check_tunnel()?;
    let keeper = session.keeper_pid()?;
    for ending in [Signal::KILL, Signal::TERM] {
        match ending {
            Signal::KILL => session.kill_daemon()?,
            _ => session.end_daemon()?,
        }
        ensure_copy_holds(&session)?;
        start_older(&mut session, "connected")?;
        wait_for_tunnel(&session)?;
        ensure!(session.keeper_pid()? == keeper, "another keeper");
    }
    let seen = session.capture().tally()?;
    ensure!(seen.leaked() == 0, "{seen:?}");
    session.command(&["disconnect"])?;
    session.check_restored()
}

fn hangs_before_6_9() -> Result<()> {
    let mut session = Session::begin(None)?;
    start_older(&mut session, "disconnected")?;
    session.connect()?;
    let keeper = session.keeper_pid()?;
    session.kill_daemon()?;
    signal(keeper, Signal::STOP)?;
    ensure_copy_holds(&session)?;
    start_older(&mut session, "connected")?;
    wait_for_tunnel(&session)?;
    shell(session.client(), "ip rule del pref 7618")?;
    wait_for("another keeper", PATIENCE, || {
        let second = session.keeper_pid().ok();
        Ok(second.filter(|second| *second != keeper))
    })?;
    session.kill_daemon()?;
    ensure_copy_holds(&session)?;
    let seen = session.capture().tally()?;
    ensure!(seen.leaked() == 0, "{seen:?}");
    clean_up(&session)
}
