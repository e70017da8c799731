//! Names of the local network: told to nobody, or where its owner allows it to the
//! network's own resolver, and to nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use vpnm_lab::harness::Case;
use vpnm_lab::machine::{shell, shell_as, wait_for};
use vpnm_lab::resolver::{Resolved, check_names};
use vpnm_lab::session::Session;
use vpnm_world::addresses::{
    GATEWAY, NEIGHBOUR, NEIGHBOUR_NAME, NEIGHBOUR_OWN_NAME, SITE_NAME as NAME,
};
use vpnm_world::capture::{Endpoint, Protocol};
use vpnm_world::internet::Carriage;
use vpnm_world::{Signal, User};

use crate::resolver::wait_until_told;

const PATIENCE: Duration = Duration::from_secs(10);
/// Settings by which the local network is asked for its names.
const ALLOW: &str = "mkdir -p /etc/vpnm && \
    printf '%s\n' 'lan = true' 'lan_domains = [\"corp.example\"]' > /etc/vpnm/settings.toml";

pub(crate) fn cases<'a>() -> Vec<Case<'a>> {
    vec![
        Case::new("names of the local network", |_| local()),
        Case::new("names of the local network where it is allowed", |_| {
            allowed()
        }),
        Case::new("names of the local network beside systemd-resolved", |_| {
            allowed_by_resolved()
        }),
    ]
}

fn local() -> Result<()> {
    const ASK: &str = "timeout 4 getent ahosts";
    const LOCAL: [&str; 4] = ["printer", "printer.lan", "tv.fritz.box", "wiki.home.arpa"];
    let mut session = Session::begin(None)?;
    shell(
        session.client(),
        "echo '192.168.77.9 nas.lan nas' >> /etc/hosts; echo 'search lan' >> /etc/resolv.conf",
    )?;
    session.start_daemon()?;
    session.connect()?;
    let connected = session.capture().tally()?;
    for name in LOCAL {
        let answer = shell_as(
            session.client(),
            User::Mallory,
            &format!("{ASK} {name}; echo $?"),
        )?;
        // 2: there is no such name; 124 would be a time-out.
        ensure!(answer == "2\n", "{name}: {answer:?}");
    }
    let answer = dig(&session, "printer.lan")?;
    ensure!(
        answer.contains("status: NXDOMAIN") && answer.contains("lan = false"),
        "the answer does not say why: {answer}"
    );
    let answer = shell_as(session.client(), User::Mallory, &format!("{ASK} nas"))?;
    ensure!(
        answer.contains("192.168.77.9"),
        "/etc/hosts is not heeded: {answer:?}"
    );
    check_names(session.client(), NAME)?;
    let asked = session.internet().queries();
    ensure!(
        asked.iter().any(|query| query.name == NAME),
        "{NAME} was asked nowhere"
    );
    let is_local = |name: &str| LOCAL.iter().any(|tail| name.ends_with(tail));
    let told = asked.iter().find(|query| is_local(&query.name));
    ensure!(told.is_none(), "asked outside: {told:?}");
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"]).map(drop)
}

/// What dig says to a query as programs send them.
fn dig(session: &Session, arguments: &str) -> Result<String> {
    let script = format!("dig +tries=1 +time=4 {arguments}");
    shell_as(session.client(), User::Mallory, &script)
}

/// The router's resolver is asked for the LAN's names, and for nothing else.
fn allowed() -> Result<()> {
    let mut session = Session::begin(None)?;
    shell(session.client(), ALLOW)?;
    shell(session.client(), "echo 'search lan' >> /etc/resolv.conf")?;
    session.start_daemon()?;
    session.connect()?;
    permit_router(&session);
    let connected = session.capture().tally()?;
    let address = NEIGHBOUR.v4.to_string();
    wait_for("the LAN's resolver to be asked", PATIENCE, || {
        let found = dig(&session, &format!("+short {NEIGHBOUR_NAME}"))?;
        Ok(found.contains(&address).then_some(()))
    })?;
    for name in ["nas", NEIGHBOUR_NAME, NEIGHBOUR_OWN_NAME] {
        let ask = format!("timeout 4 getent ahosts {name}");
        let found = shell_as(session.client(), User::Mallory, &ask)?;
        ensure!(found.contains(&address), "{name} was found to be {found:?}");
    }
    check_names(session.client(), NAME)?;
    for server in [GATEWAY.v4.to_string(), GATEWAY.v6.to_string()] {
        for carriage in ["+notcp", "+tcp"] {
            // Whomever a program asks: public names go the one way, the LAN's the other.
            dig(&session, &format!("@{server} {carriage} {NAME}"))?;
            dig(&session, &format!("@{server} {carriage} other.example"))?;
            let found = dig(
                &session,
                &format!("@{server} {carriage} +short {NEIGHBOUR_NAME}"),
            )?;
            ensure!(found.contains(&address), "{server} {carriage}: {found:?}");
        }
    }
    dig(&session, "secret.local")?;
    // The next engine is told as well.
    session.signal_engine(Signal::KILL)?;
    wait_for("the next engine to ask the LAN", PATIENCE, || {
        let found = dig(&session, &format!("+short {NEIGHBOUR_OWN_NAME}"))?;
        Ok(found.contains(&address).then_some(()))
    })?;
    check_sides(&session)?;
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);

    // Another resolver, somewhere behind routers: no more than a name in a file.
    shell(
        session.client(),
        "echo nameserver 10.9.9.9 > /etc/resolv.conf",
    )?;
    wait_for("the LAN's resolver to be forgotten", PATIENCE, || {
        let found = dig(&session, "+short fresh.lan; dig nas.lan")?;
        Ok(found.contains("status: SERVFAIL").then_some(()))
    })?;
    check_names(session.client(), NAME)?;
    let sent = session.capture().tally()?.since(&connected);
    ensure!(sent.leaked() == 0, "left: {:?}", sent.leaks);
    session.command(&["disconnect"]).map(drop)
}

/// Packets to the router's resolver are as they should be from now on.
fn permit_router(session: &Session) {
    let router = SocketAddr::new(GATEWAY.v4.into(), 53);
    let endpoints = [
        (session.server(), Protocol::Tcp),
        (router, Protocol::Udp),
        (router, Protocol::Tcp),
    ];
    let endpoints = endpoints.map(|(address, protocol)| Endpoint {
        address,
        protocol,
        confidential: true,
    });
    session.capture().permit(&endpoints);
}

/// Makes sure that the router was asked for the LAN's names alone, and nobody else was.
fn check_sides(session: &Session) -> Result<()> {
    let asked = session.internet().queries();
    let is_local = |name: &str| name.ends_with(".lan") || name.ends_with("corp.example");
    for query in &asked {
        let is_plain = query.carriage == Carriage::Plain;
        ensure!(is_plain == is_local(&query.name), "asked: {query:?}");
    }
    ensure!(
        asked.iter().any(|query| query.carriage == Carriage::Plain),
        "the router was not asked"
    );
    let is_asked = |name: &str| asked.iter().any(|query| query.name == name);
    ensure!(is_asked(NAME), "{NAME} was asked nowhere");
    ensure!(
        !is_asked("secret.local"),
        "multicast DNS was asked of a resolver"
    );
    Ok(())
}

/// systemd-resolved tells the LAN's servers in a file of its own.
fn allowed_by_resolved() -> Result<()> {
    let mut session = Session::begin(None)?;
    let _resolved = Resolved::start(session.client())?;
    // As Debian has it: DNS over TLS towards the LAN is refused, and 252 gives up then.
    shell(session.client(), "resolvectl dnsovertls eth0 no")?;
    shell(session.client(), ALLOW)?;
    session.start_daemon()?;
    session.connect()?;
    permit_router(&session);
    let connected = session.capture().tally()?;
    wait_until_told(&session)?;
    let address = NEIGHBOUR.v4.to_string();
    for name in [NEIGHBOUR_NAME, NEIGHBOUR_OWN_NAME] {
        let ask = format!("timeout 4 getent ahosts {name} || resolvectl flush-caches");
        wait_for(
            "systemd-resolved to find a name of the LAN",
            PATIENCE,
            || {
                let found = shell(session.client(), &ask)?;
                Ok(found.contains(&address).then_some(()))
            },
        )?;
    }
    check_names(session.client(), NAME)?;
    check_sides(&session)?;
    let sent = session.capture().tally()?.since(&connected);
    // It joins groups on the link, which is allowed as the LAN is.
    let joins = |what: &String| {
        ["icmp6 type 143 ff02::16", "protocol 2 224.0.0.22"].contains(&what.as_str())
    };
    let left: Vec<_> = sent.leaks.keys().filter(|what| !joins(what)).collect();
    ensure!(left.is_empty(), "left: {left:?}");
    session.command(&["disconnect"]).map(drop)
}
