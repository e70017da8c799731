//! What the cases have in common.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vpnm_lab::machine::{shell, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::User;

/// A case: its name, and what it does.
pub(crate) type Scene = (&'static str, fn() -> Result<()>);

/// Longest anything may take to come about.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A session with a daemon.
pub(crate) fn with_daemon() -> Result<Session> {
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    Ok(session)
}

/// A session that is connected, with traffic going through.
pub(crate) fn connected() -> Result<Session> {
    let session = with_daemon()?;
    session.connect()?;
    session.check_tunnel()?;
    Ok(session)
}

/// Asks for something that must fail, and returns the error's code.
pub(crate) fn refusal(session: &Session, user: User, arguments: &[&str]) -> Result<String> {
    let mut arguments = arguments.to_vec();
    arguments.push("--json");
    let output = session.vpnm(user, &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!output.status.success(), "it succeeded: {text}");
    let answer: Value =
        serde_json::from_str(&text).with_context(|| format!("no JSON: {text:?}"))?;
    let code = answer.pointer("/error/code").and_then(Value::as_str);
    let next = answer.pointer("/error/next").and_then(Value::as_str);
    ensure!(
        next.is_some_and(|next| !next.is_empty()),
        "nothing to type: {text}"
    );
    Ok(code.with_context(|| format!("no code: {text}"))?.to_owned())
}

/// A part of the status, as text.
pub(crate) fn status(session: &Session, pointer: &str) -> Result<String> {
    let status = session.status()?;
    let found = status.pointer(pointer);
    let found = found.with_context(|| format!("the status has no {pointer}: {status}"))?;
    Ok(found
        .as_str()
        .map_or_else(|| found.to_string(), str::to_owned))
}

/// Waits until the tunnel is verified and a page comes through it.
pub(crate) fn wait_for_tunnel(session: &Session) -> Result<()> {
    session.wait_for_state(&["connected"])?;
    wait_for("a page through the tunnel", PATIENCE, || {
        Ok(session.check_tunnel().is_ok().then_some(()))
    })
}

/// The kernel's number of the tunnel's interface: another one is another interface.
pub(crate) fn interface(session: &Session) -> Result<String> {
    shell(
        session.client(),
        "cat /sys/class/net/vpnm0/ifindex || ip -o link show vpnm0 | cut -d: -f1",
    )
}

/// Makes sure that nothing but the way to nowhere is left on the host.
pub(crate) fn ensure_blocked(session: &Session) -> Result<()> {
    let page = "curl -s -m 2 -o /dev/null http://198.51.100.80/address";
    ensure!(
        shell(session.client(), page).is_err(),
        "a page came past the block"
    );
    let routes = shell(session.client(), "ip route show table 7670")?;
    ensure!(
        routes.contains("unreachable default"),
        "no backstop: {routes}"
    );
    Ok(())
}

/// A measured line between those of the harness.
pub(crate) fn tell(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "    {line}")?)
}
