//! The check that tries to get past the block, on a machine that holds and on one
//! that was opened by hand.

use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnm_lab::machine::{shell, wait_for};
use vpnm_lab::session::{PROGRAM, Session};
use vpnm_world::User;

use crate::failures::clean_up;
use crate::scene::{PATIENCE, Scene, connected, refusal, status, with_daemon};

pub(crate) const CASES: &[Scene] = &[
    (
        "the leak check finds what gets out, and nothing else",
        finds,
    ),
    (
        "the leak check tells a raw frame from a routed one",
        tells_apart,
    ),
    ("the leak check misses nothing under load", under_load),
    (
        "older kernels: the leak check sends no frame that nothing holds back",
        before_5_16,
    ),
];

/// As where nothing sees frames that leave past the IP stack.
const OLDER: (&str, &str) = ("VPNM_LINUX", "5.15");

/// What `vpnm check` saw leave, and how many attempts it made.
pub(crate) fn check(session: &Session) -> Result<(Vec<String>, u64)> {
    let (leaked, _, attempts) = report(&session.vpnm(User::Root, &["check", "--json"])?)?;
    Ok((leaked, attempts))
}

/// What a check saw leave, what it could not try, and how many attempts it made.
fn report(output: &Output) -> Result<(Vec<String>, Vec<String>, u64)> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&text).with_context(|| format!("{text:?}"))?;
    let list = |name: &str| -> Result<Vec<String>> {
        let list = report.get(name).and_then(Value::as_array);
        let list = list.with_context(|| text.clone())?.iter();
        Ok(list
            .filter_map(|one| Some(one.as_str()?.to_owned()))
            .collect())
    };
    let leaked = list("leaked")?;
    ensure!(output.status.success() == leaked.is_empty(), "{text}");
    let attempts = report.get("attempts").and_then(Value::as_u64);
    let attempts = attempts.with_context(|| text.clone())?;
    Ok((leaked, list("untried")?, attempts))
}

fn has(leaked: &[String], beginning: &str) -> bool {
    leaked.iter().any(|one| one.starts_with(beginning))
}

fn finds() -> Result<()> {
    let session = with_daemon()?;
    ensure!(refusal(&session, User::Alice, &["check"])? == "not_permitted");
    let (leaked, attempts) = check(&session)?;
    for kind in [
        "UDP over IPv4",
        "TCP over IPv4",
        "DNS over IPv4",
        "UDP over IPv6",
    ] {
        ensure!(
            leaked.iter().any(|one| one == kind),
            "{kind} not in {leaked:?}"
        );
    }
    ensure!(has(&leaked, "a raw frame by eth0"), "{leaked:?}");
    ensure!(attempts > 18, "{attempts}");
    session.connect()?;
    let (leaked, _) = check(&session)?;
    ensure!(leaked.is_empty(), "connected: {leaked:?}");
    // The daemon does the same by itself, and says so.
    wait_for("the daemon's own check", PATIENCE, || {
        Ok((status(&session, "/verified/tried")? == "true").then_some(()))
    })?;
    let before = session.capture().tally()?;
    let (_, again) = check(&session)?;
    ensure!(again == attempts);
    let seen = session.capture().tally()?.since(&before);
    ensure!(seen.leaked() == 0, "{seen:?}");
    session.command(&["disconnect"])?;
    session.check_restored()
}

/// What leaves at the same time, as fast as two programs can, hides nothing.
fn under_load() -> Result<()> {
    let session = with_daemon()?;
    let (calm, attempts) = check(&session)?;
    let flood = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        while True: s.sendto(b'x', ('192.168.77.9', 9))";
    let flooded = || {
        let command = session.client().command("python3");
        command.args(["-c", flood]).spawn()
    };
    let _floods = [flooded()?, flooded()?];
    for _ in 0..5 {
        let (loaded, again) = check(&session)?;
        ensure!(again == attempts);
        let hidden: Vec<&String> = calm.iter().filter(|one| !loaded.contains(one)).collect();
        ensure!(hidden.is_empty(), "not seen: {hidden:?}");
    }
    Ok(())
}

fn tells_apart() -> Result<()> {
    let mut session = connected()?;
    // The tables are anybody's to flush when whoever keeps them is dead, too.
    let keeper = session.keeper_pid()?;
    session.kill_daemon()?;
    shell(session.client(), &format!("kill -9 {keeper}"))?;
    let flush = "for n in $(seq 100); do nft flush ruleset; \
        [ -z \"$(nft list tables)\" ] && exit; sleep 0.05; done; exit 1";
    shell(session.client(), flush)?;
    let (leaked, _) = check(&session)?;
    ensure!(has(&leaked, "a raw frame by eth0"), "{leaked:?}");
    ensure!(
        !leaked.iter().any(|one| one == "UDP over IPv4"),
        "the routes hold: {leaked:?}"
    );
    shell(
        session.client(),
        "for n in $(seq 7600 7620); do while ip rule del pref $n; do :; done; done 2> /dev/null; true",
    )?;
    let (leaked, _) = check(&session)?;
    ensure!(
        leaked.iter().any(|one| one == "UDP over IPv4"),
        "{leaked:?}"
    );
    clean_up(&session)
}

fn before_5_16() -> Result<()> {
    let mut session = Session::begin(None)?;
    session.launch_daemon(&[OLDER])?;
    session.wait_for_state(&["disconnected"])?;
    session.connect()?;
    let (name, version) = OLDER;
    let check_older = session.client().command(PROGRAM).env(name, version);
    let (leaked, untried, attempts) = report(&check_older.args(["check", "--json"]).output()?)?;
    ensure!(
        leaked.is_empty() && attempts >= 18,
        "{attempts}: {leaked:?}"
    );
    ensure!(untried == ["a raw frame by eth0"], "{untried:?}");
    let seen = session.capture().tally()?;
    ensure!(seen.leaked() == 0, "{seen:?}");
    // Whoever takes the hook for there sends the frame, and sees it leave.
    let (leaked, again) = check(&session)?;
    ensure!(leaked == untried && again == attempts + 1, "{leaked:?}");
    session.command(&["disconnect"])?;
    session.check_restored()
}
