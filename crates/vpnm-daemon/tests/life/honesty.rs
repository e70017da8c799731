//! What the status says when something breaks, and how soon.
//!
//! Each fault prints for how long "connected, and answered" was said after it; what is
//! made sure of is that it is not said for ever.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::Result;
use vpnm_lab::machine::{shell, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::addresses::SITE;
use vpnm_world::{Signal, User};

use crate::scene::{PATIENCE, Scene, connected, status, tell, wait_for_tunnel};

pub(crate) const CASES: &[Scene] = &[
    ("honesty: an engine that is killed", dead_engine),
    ("honesty: a network that goes", no_network),
    ("honesty: a cable that is pulled", no_carrier),
    ("honesty: a server that refuses", server_refuses),
    ("honesty: a server that is silent", server_is_silent),
];

/// Waits until it is not said any more that everything is well, while programs go on
/// asking.
fn measure(session: &Session, what: &str) -> Result<()> {
    let begun = Instant::now();
    wait_for("the status to say so", PATIENCE, || {
        use_it(session);
        Ok((!is_said_to_be_well(session)?).then_some(()))
    })?;
    let name = session.state()?;
    tell(&format!(
        "{what}: said after {} ms, as {name}",
        begun.elapsed().as_millis()
    ))
}

fn is_said_to_be_well(session: &Session) -> Result<bool> {
    Ok(session.state()? == "connected" && status(session, "/verified/answered")? == "true")
}

/// A program that tries to connect; what becomes of it does not matter.
fn use_it(session: &Session) {
    let limit = Duration::from_millis(100);
    let _whatever = session.client().run_as(User::Alice, || {
        TcpStream::connect_timeout(&(SITE.v4, 80).into(), limit).map(drop)
    });
}

/// It is replaced so soon that the time between may be seen by nobody.
fn dead_engine() -> Result<()> {
    let session = connected()?;
    let old = session.engine_pid()?;
    let begun = Instant::now();
    session.signal_engine(Signal::KILL)?;
    wait_for("the end of the engine to be known", PATIENCE, || {
        let is_another = session.engine_pid().is_ok_and(|pid| pid != old);
        Ok((is_another || session.state()? != "connected").then_some(()))
    })?;
    tell(&format!(
        "an engine that is killed: known after {} ms",
        begun.elapsed().as_millis()
    ))?;
    over(&session)
}

fn no_network() -> Result<()> {
    let session = connected()?;
    shell(
        session.client(),
        "ip route del default; ip -6 route del default",
    )?;
    measure(&session, "no default route")?;
    shell(
        session.client(),
        "ip route add default via 192.168.77.1 && ip -6 route add default via 2001:db8:77::1",
    )?;
    over(&session)
}

fn no_carrier() -> Result<()> {
    let session = connected()?;
    shell(session.world().router(), "ip link set lan0 down")?;
    measure(&session, "no carrier")?;
    shell(session.world().router(), "ip link set lan0 up")?;
    over(&session)
}

fn server_refuses() -> Result<()> {
    let mut session = connected()?;
    session.end_node();
    measure(&session, "the server refuses")?;
    session.command(&["disconnect"]).map(drop)
}

fn server_is_silent() -> Result<()> {
    let session = connected()?;
    let rule = |verb: &str| format!("ip rule {verb} pref 1 to 203.0.113.0/24 blackhole");
    shell(session.world().router(), &rule("add"))?;
    measure(&session, "the server is silent")?;
    shell(session.world().router(), &rule("del"))?;
    over(&session)
}

/// And when it works again, that is said too.
fn over(session: &Session) -> Result<()> {
    wait_for_tunnel(session)?;
    session.command(&["disconnect"]).map(drop)
}
