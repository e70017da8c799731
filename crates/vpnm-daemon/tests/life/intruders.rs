//! What others do to the host, and what is left of it a moment later.

use anyhow::{Result, ensure};
use vpnm_lab::machine::{shell, wait_for};
use vpnm_world::User;

use crate::scene::{
    PATIENCE, Scene, connected, interface, refusal, status, wait_for_tunnel, with_daemon,
};

pub(crate) const CASES: &[Scene] = &[
    ("what others change is repaired and counted", repairs),
    ("a deleted interface is made anew", deleted_interface),
    (
        "an interface deleted while blocked is made anew",
        deleted_while_blocked,
    ),
    ("a switch keeps the interface", switch),
];

fn repairs() -> Result<()> {
    let session = connected()?;
    let attacks = [
        "ip rule flush; ip rule add pref 32766 protocol kernel lookup main; \
            ip rule add pref 32767 protocol kernel lookup default",
        "ip -6 rule flush; ip -6 rule add pref 32766 protocol kernel lookup main",
        "ip route flush table 7670",
        "ip -6 route flush table 7670",
        "ip link set vpnm0 down",
        "ip addr flush dev vpnm0",
    ];
    for attack in attacks {
        let before: u64 = status(&session, "/repairs/count")?.parse()?;
        shell(session.client(), attack)?;
        wait_for("a repair", PATIENCE, || {
            let count: u64 = status(&session, "/repairs/count")?.parse()?;
            Ok((count > before).then_some(()))
        })?;
        wait_for_tunnel(&session)?;
    }
    // Tables that are owned are not flushed by others; elsewhere this is repaired too.
    shell(session.client(), "nft flush ruleset")?;
    wait_for_tunnel(&session)?;
    session.end()?;
    Ok(())
}

fn deleted_interface() -> Result<()> {
    let session = connected()?;
    let old = interface(&session)?;
    shell(session.client(), "ip link del vpnm0")?;
    wait_for("another interface", PATIENCE, || {
        Ok(interface(&session)
            .is_ok_and(|new| new != old)
            .then_some(()))
    })?;
    wait_for_tunnel(&session)?;
    session.end()?;
    Ok(())
}

fn deleted_while_blocked() -> Result<()> {
    let session = with_daemon()?;
    let nobody = session.link().replace(":443?", ":444?");
    refusal(&session, User::Alice, &["connect", &nobody])?;
    ensure!(session.state()? == "blocked");
    shell(session.client(), "ip link del vpnm0")?;
    wait_for("a tunnel by another interface", PATIENCE, || {
        Ok(session.connect().is_ok().then_some(()))
    })?;
    session.check_tunnel()?;
    session.end()?;
    Ok(())
}

fn switch() -> Result<()> {
    let session = connected()?;
    let old = interface(&session)?;
    let other = session
        .link()
        .replace("203.0.113.10:443", "[2001:db8:113::10]:443");
    ensure!(other != session.link());
    session.command(&["connect", &other])?;
    ensure!(status(&session, "/state/via")? == "2001:db8:113::10");
    session.command(&["reconnect"])?;
    ensure!(interface(&session)? == old, "the interface is another");
    ensure!(
        status(&session, "/repairs/count")? == "0",
        "repairs of nothing"
    );
    session.command(&["disconnect"])?;
    session.check_restored()
}
