//! Dying: the engine, the daemon, both; anywhere.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use vpnm_lab::machine::{need, shell, wait_for};
use vpnm_lab::session::{PROGRAM, Session};
use vpnm_world::{Signal, User};

use crate::failures::clean_up;
use crate::scene::{
    PATIENCE, Scene, connected, ensure_blocked, interface, status, wait_for_tunnel,
};

pub(crate) const CASES: &[Scene] = &[
    ("an engine that hangs is replaced", engine_hangs),
    (
        "the engine's death costs neither the interface nor the block",
        engine_death,
    ),
    (
        "the daemon's death opens nothing and is outlived by the target",
        daemon_death,
    ),
    ("a damaged journal means secured", damaged_journal),
    (
        "a daemon without a packet filter blocks by routes and says so",
        no_packet_filter,
    ),
    (
        "a lost journal means secured while the machine is blocked",
        lost_journal,
    ),
    (
        "a machine that knows nothing of itself is blocked at its start",
        boots_without_journal,
    ),
    (
        "dying at any point on the way up opens nothing and heals",
        dying_on_the_way_up,
    ),
    (
        "dying at any point on the way down heals",
        dying_on_the_way_down,
    ),
];

/// More points than there are on any way.
const MOST_POINTS: u32 = 400;

fn engine_death() -> Result<()> {
    is_replaced_after(&[Signal::KILL, Signal::TERM, Signal::ABORT])
}

fn engine_hangs() -> Result<()> {
    is_replaced_after(&[Signal::STOP])
}

/// Another engine takes the place of one that got any of these, on the same interface.
fn is_replaced_after(signals: &[Signal]) -> Result<()> {
    let session = connected()?;
    let interface_before = interface(&session)?;
    for signal in signals {
        let old = session.engine_pid()?;
        session.signal_engine(*signal)?;
        wait_for("another engine", PATIENCE, || {
            Ok(session
                .engine_pid()
                .is_ok_and(|pid| pid != old)
                .then_some(()))
        })?;
        wait_for_tunnel(&session)?;
    }
    ensure!(
        interface(&session)? == interface_before,
        "the interface is another"
    );
    session.end()?;
    Ok(())
}

fn daemon_death() -> Result<()> {
    let mut session = connected()?;
    let engine = session.engine_pid()?;
    session.kill_daemon()?;
    ensure_blocked(&session)?;
    wait_for("the engine's end", PATIENCE, || {
        let alive = std::path::Path::new(&format!("/proc/{engine}")).exists();
        Ok((!alive).then_some(()))
    })?;
    session.start_daemon()?;
    wait_for_tunnel(&session)?;
    session.end()?;
    Ok(())
}

fn damaged_journal() -> Result<()> {
    let mut session = connected()?;
    session.kill_daemon()?;
    shell(
        session.client(),
        "sed -i s/true/fals/ /var/lib/vpnm/journal",
    )?;
    session.start_daemon()?;
    session.wait_for_state(&["blocked"])?;
    ensure!(status(&session, "/state/cause/code")? == "journal_unreadable");
    ensure_blocked(&session)?;
    // It may have said that the machine is locked down.
    session.command(&["disconnect"])?;
    ensure!(status(&session, "/state/cause/code")? == "lockdown");
    ensure_blocked(&session)?;
    session.connect()?;
    session.check_tunnel()?;
    let lifted = session.vpnm(User::Root, &["lockdown", "off"])?;
    ensure!(lifted.status.success(), "root may lift it");
    session.end()?;
    Ok(())
}

/// Becomes the program that follows, to which the kernel denies sockets to its
/// packet filter: a system-call filter (seccomp(2)) of five instructions.
const WITHOUT_FILTER: &[&str] = &[
    "/usr/bin/python3",
    "-c",
    "\
import ctypes, os, struct, sys
nr, = [n for m, n in (('x86_64', 41), ('aarch64', 198)) if m == os.uname().machine]
load, equal, end = 0x20, 0x15, 0x06
steps = [(load, 0, 0, 0), (equal, 0, 3, nr), (load, 0, 0, 32), (equal, 0, 1, 12),
         (end, 0, 0, 0x0005005d), (end, 0, 0, 0x7fff0000)]
code = b''.join(struct.pack('HBBI', *step) for step in steps)
room = ctypes.create_string_buffer(code)
program = struct.pack('HxxxxxxP', len(steps), ctypes.addressof(room))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program) == 0
os.execv(sys.argv[1], sys.argv[1:])
",
];

/// A daemon that cannot use the kernel's packet filter at all blocks by what is left,
/// goes on trying, and says that it is not enough.
fn no_packet_filter() -> Result<()> {
    need(&["python3"])?;
    let mut session = connected()?;
    session.kill_daemon()?;
    // As after a restart of the machine: nothing is left but the journal.
    shell(session.client(), "cp -p /var/lib/vpnm/journal /run/journal")?;
    clean_up(&session)?;
    shell(
        session.client(),
        "mkdir -p -m 700 /var/lib/vpnm && cp -p /run/journal /var/lib/vpnm/journal",
    )?;
    session.launch_daemon_by(WITHOUT_FILTER, &[])?;
    session.wait_for_state(&["unprotected"])?;
    ensure!(status(&session, "/state/cause/code")? == "host");
    ensure_blocked(&session)?;
    ensure!(
        shell(session.client(), "nft list tables")?.is_empty(),
        "there is a filter"
    );
    session.kill_daemon()?;
    session.start_daemon()?;
    wait_for_tunnel(&session)?;
    shell(session.client(), "rm /run/journal")?;
    session.end()?;
    Ok(())
}

fn lost_journal() -> Result<()> {
    let mut session = connected()?;
    session.kill_daemon()?;
    shell(session.client(), "rm /var/lib/vpnm/journal")?;
    session.start_daemon()?;
    session.wait_for_state(&["blocked"])?;
    ensure_blocked(&session)?;
    session.kill_daemon()?;
    clean_up(&session)
}

/// At the start of the system a journal that is missing is one whose disk is: the
/// directory may be there, made by a daemon while the disk was not. Neither that nor a
/// host that cannot be looked at is a reason to leave the machine open.
fn boots_without_journal() -> Result<()> {
    need(&["python3"])?;
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.end_daemon()?;
    let block = |by: &[&str]| {
        let words = by.iter().copied().chain([PROGRAM, "daemon", "--block"]);
        let mut words = words.map(str::to_owned);
        let program = words.next().unwrap_or_default();
        session.client().command(program).args(words).output()
    };
    ensure!(block(&[])?.status.success());
    session.check_restored().context("it never was connected")?;
    for (missing, by, succeeds) in [
        ("rm /var/lib/vpnm/journal", &[][..], true),
        ("rm -r /var/lib/vpnm", &[], true),
        ("mkdir -m 700 /var/lib/vpnm", WITHOUT_FILTER, false),
    ] {
        shell(session.client(), missing)?;
        let blocked = block(by)?;
        let said = String::from_utf8_lossy(&blocked.stderr).into_owned();
        ensure!(blocked.status.success() == succeeds, "{missing}: {said}");
        ensure_blocked(&session).context(missing)?;
        clean_up(&session)?;
    }
    // The daemon that comes after it is as careful where it can see nothing.
    shell(session.client(), "rm /var/lib/vpnm/journal")?;
    session.launch_daemon_by(WITHOUT_FILTER, &[])?;
    ensure!(session.wait_for_daemon(PATIENCE)?, "it went on");
    ensure_blocked(&session)?;
    clean_up(&session)
}

/// Connects with a daemon that dies at each point; another takes over.
fn dying_on_the_way_up() -> Result<()> {
    let mut session = Session::begin(None)?;
    let link = session.link().to_owned();
    for point in 1..MOST_POINTS {
        let died = dies(&mut session, point, &["connect", &link])?;
        if !died {
            session.kill_daemon()?;
            return clean_up(&session);
        }
        // Blocked, if that was written down; else as it was.
        let remembered = shell(session.client(), "grep -q vless: /var/lib/vpnm/journal").is_ok();
        session.start_daemon()?;
        let state = session.wait_for_state(&["connected", "disconnected"])?;
        ensure!(
            (state == "connected") == remembered,
            "point {point}: {state}"
        );
        if remembered {
            wait_for_tunnel(&session)?;
        }
        session.kill_daemon()?;
        clean_up(&session)?;
    }
    bail!("more than {MOST_POINTS} points");
}

/// Disconnects with a daemon that dies at each point; another takes over.
fn dying_on_the_way_down() -> Result<()> {
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    session.connect()?;
    for point in 1..MOST_POINTS {
        session.kill_daemon()?;
        let died = dies(&mut session, point, &["disconnect"])?;
        if !died {
            ensure!(session.state()? == "disconnected");
            session.kill_daemon()?;
            return clean_up(&session);
        }
        session.start_daemon()?;
        let state = session.wait_for_state(&["connected", "disconnected"])?;
        if state == "disconnected" {
            session.check_restored()?;
            session.connect()?;
        }
        wait_for_tunnel(&session)?;
    }
    bail!("more than {MOST_POINTS} points");
}

/// Starts a daemon that dies at a point and gives it something to do; whether it
/// came to that point.
fn dies(session: &mut Session, point: u32, command: &[&str]) -> Result<bool> {
    session.launch_daemon(&[("VPNM_FAILPOINT", &point.to_string())])?;
    // It may die before it listens, while it is asked, or not at all.
    for _ in 0..200 {
        if session.wait_for_daemon(Duration::from_millis(10))? {
            return Ok(true);
        }
        if session.vpnm(User::Alice, command)?.status.success() {
            return session.wait_for_daemon(Duration::from_millis(300));
        }
    }
    bail!("point {point}: {command:?} never ends");
}
