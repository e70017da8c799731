//! Who holds the packet filter while no daemon lives.

use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use vpnm_lab::machine::{shell, shell_as, status_field, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::{Signal, User};

use crate::failures::clean_up;
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
];

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
