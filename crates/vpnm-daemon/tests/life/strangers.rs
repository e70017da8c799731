//! Another user of the machine, in no group, against every method of the real daemon.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use vpnm_api::engine::EngineClient;
use vpnm_api::tunnel::{SOCKET, TunnelClient};
use vpnm_lab::machine::{shell, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::{Snapshot, User};

use crate::scene::{PATIENCE, Scene, interface};

pub(crate) const CASES: &[Scene] = &[(
    "a stranger who calls every method changes nothing and is noted",
    every_method,
)];

/// Where the daemon's log goes.
const LOG: &str = "/run/vpnmd.log";
/// What anybody may ask.
const PUBLIC: [&str; 2] = ["net.vpnm.Tunnel.Status", "net.vpnm.Tunnel.Watch"];
/// What only those may see who control the tunnel.
const SECRETS: [&str; 5] = [
    "203.0.113.10",
    "2001:db8:113",
    "node.example",
    "vless",
    "1.1.1.1",
];

fn every_method() -> Result<()> {
    let mut session = Session::begin(None)?;
    session.launch_daemon_by(
        &["/bin/sh", "-c", &format!("exec \"$@\" 2>{LOG}"), "sh"],
        &[],
    )?;
    wait_for("the daemon", PATIENCE, || Ok(session.connect().ok()))?;
    session.check_tunnel()?;
    let before = Everything::seen(&session)?;
    let mut refused = BTreeSet::new();
    for method in methods() {
        for call in calls(method, session.link()) {
            let answer = ask(&session, &call).context(call.clone())?;
            ensure!(
                answer.is_empty() || PUBLIC.contains(&method) || is_refusal(&answer),
                "{call}: {answer}"
            );
            if answer.contains("PermissionDenied") {
                refused.insert(method);
            }
            for secret in SECRETS {
                ensure!(!answer.contains(secret), "{secret} in {answer}");
            }
        }
    }
    // Not for its parameters: who asks comes first.
    let of_daemon = TunnelClient::INTERFACE.methods.iter();
    let mut guarded = of_daemon.map(|method| method.qualified);
    let asked = guarded.find(|method| !PUBLIC.contains(method) && !refused.contains(method));
    ensure!(asked.is_none(), "a stranger may call {asked:?}");
    before.is_still_so(&session)?;
    session.check_tunnel()?;
    is_noted(&session, &refused)?;
    session.command(&["disconnect"])?;
    session.end_daemon()?;
    session.check_restored()?;
    Ok(())
}

/// Every method the daemon has, and those of the engine, which it must not have.
fn methods() -> Vec<&'static str> {
    let of = [TunnelClient::INTERFACE, EngineClient::INTERFACE];
    let methods = of.iter().flat_map(|interface| interface.methods);
    methods.map(|method| method.qualified).collect()
}

/// A method called well, badly, without waiting for the answer, and as a stream.
fn calls(method: &str, link: &str) -> Vec<String> {
    let other = link.replace("203.0.113.10", "203.0.113.20");
    let parameters = [
        "{}".to_owned(),
        format!("{{\"link\":\"{other}\"}}"),
        "{\"link\":7,\"on\":false}".to_owned(),
        "[]".to_owned(),
    ];
    let manners = [
        "",
        ",\"oneway\":true",
        ",\"more\":true",
        ",\"upgrade\":true",
    ];
    let call = |parameters: &String| {
        manners.map(|manner| {
            format!("{{\"method\":\"{method}\",\"parameters\":{parameters}{manner}}}\0")
        })
    };
    parameters.iter().flat_map(call).collect()
}

/// Calls as somebody in no group, on a connection of its own; what is answered until
/// nothing comes any more. A call without an answer is followed by one that has one.
fn ask(session: &Session, call: &str) -> Result<String> {
    let oneway = call.contains("oneway");
    let answer = session.client().run_as(User::Mallory, || {
        let mut stream = UnixStream::connect(SOCKET)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(call.as_bytes())?;
        if oneway {
            stream.write_all(b"{\"method\":\"org.varlink.service.GetInfo\"}\0")?;
        }
        let (mut answer, mut byte) = (Vec::new(), [0]);
        while stream.read(&mut byte)? == 1 && byte != [0] {
            answer.extend_from_slice(&byte);
        }
        Ok(answer)
    })?;
    let answer = String::from_utf8(answer)?;
    if oneway && answer.contains("vpnmd") {
        return Ok(String::new());
    }
    Ok(answer)
}

/// An error, or a connection that was closed without a word.
fn is_refusal(answer: &str) -> bool {
    answer.is_empty() || answer.contains("\"error\":")
}

/// Everything that a call could change.
struct Everything {
    journal: String,
    interface: String,
    engine: u32,
    state: String,
    network: Snapshot,
    /// Without its counters, which the snapshot has.
    filter: String,
}

impl Everything {
    fn seen(session: &Session) -> Result<Self> {
        let mut status = session.status()?;
        let parts = ["goal", "lockdown", "server", "repairs"];
        let parts = parts.map(|part| status.get_mut(part).map(serde_json::Value::take));
        Ok(Self {
            journal: shell(
                session.client(),
                "cat /var/lib/vpnm/journal; ls -la /var/lib/vpnm",
            )?,
            interface: interface(session)?,
            engine: session.engine_pid()?,
            state: format!("{} {parts:?}", session.state()?),
            network: Snapshot::take(session.client())?,
            filter: shell(session.client(), "nft --stateless list ruleset")?,
        })
    }

    fn is_still_so(&self, session: &Session) -> Result<()> {
        let now = Self::seen(session)?;
        ensure!(now.journal == self.journal, "the journal: {}", now.journal);
        ensure!(now.state == self.state, "{} is {}", self.state, now.state);
        ensure!(now.interface == self.interface, "another interface");
        ensure!(now.engine == self.engine, "another engine");
        ensure!(now.filter == self.filter, "the filter: {}", now.filter);
        let mut changes = now.network.changes_since(&self.network);
        changes.retain(|change| !change.starts_with("nft rule"));
        ensure!(changes.is_empty(), "the network: {changes:?}");
        Ok(())
    }
}

/// Each refusal is in the log with who asked for what, and no secret is.
fn is_noted(session: &Session, refused: &BTreeSet<&str>) -> Result<()> {
    let log = || shell(session.client(), &format!("cat {LOG}"));
    let is_line_of = |line: &str, method: &str| {
        let of = line.contains(method) && line.contains("denied");
        of && line.contains(&format!("uid={}", User::Mallory.uid()))
    };
    wait_for("the records", Duration::from_secs(5), || {
        let log = log()?;
        let is_there = |method: &&str| log.lines().any(|line| is_line_of(line, method));
        Ok(refused.iter().all(is_there).then_some(()))
    })
    .with_context(|| log().unwrap_or_default())?;
    let log = log()?;
    let granted = format!("uid={}", User::Alice.uid());
    ensure!(
        log.lines()
            .any(|line| line.contains("net.vpnm.Tunnel.Connect") && line.contains(&granted)),
        "who connected is not noted: {log}"
    );
    let id = session.link().split(['/', '@']).nth(2).unwrap_or_default();
    ensure!(
        !id.is_empty() && !log.contains(id),
        "the log holds a secret"
    );
    Ok(())
}
