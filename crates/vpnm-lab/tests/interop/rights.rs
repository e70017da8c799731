//! The process that reads what the network sends has no right it could lose, and
//! nobody can call any of ours from the network.

use anyhow::{Result, ensure};
use vpnm_lab::harness::Case;
use vpnm_lab::machine::{need, shell, status_field};
use vpnm_lab::session::Session;

/// The cases of this file.
pub(crate) fn cases<'a>() -> Vec<Case<'a>> {
    vec![
        engine(),
        Case::new("nothing of ours listens to the network", |_| listeners()),
    ]
}

/// Commands come by a Unix socket; what is bound to addresses takes the queries of
/// this host, on its loopback interface.
fn listeners() -> Result<()> {
    need(&["ss"])?;
    let mut session = Session::begin(None)?;
    // Address and port; TCP that listens, UDP that is not connected.
    let list = "ss -Hlntu | awk '{print $1, $5}'";
    let before = shell(session.client(), list)?;
    session.start_daemon()?;
    session.connect()?;
    session.check_tunnel()?;
    let now = shell(session.client(), list)?;
    let ours: Vec<&str> = now
        .lines()
        .filter(|line| !before.lines().any(|other| other == *line))
        .collect();
    ensure!(!ours.is_empty(), "queries are taken nowhere: {now}");
    let is_local = |line: &&str| line.contains(" 127.0.0.1:") || line.contains(" [::1]:");
    ensure!(ours.iter().all(is_local), "{ours:?}");
    session.end().map(drop)
}

/// The engine's own case.
fn engine<'a>() -> Case<'a> {
    Case::new("engine without rights", |_| {
        let mut session = Session::begin(None)?;
        session.start_daemon()?;
        session.connect()?;
        let engine = session.engine_pid()?;
        // Real, effective, saved and file system id: the user _vpnm and nobody else.
        let mut expected = vec![("Groups", String::new())];
        expected.extend(["Uid", "Gid"].map(|name| (name, ["7670"; 4].join("\t"))));
        let none = "0".repeat(16);
        let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
        expected.extend(sets.map(|name| (name, none.clone())));
        expected.extend([("NoNewPrivs", "1".to_owned()), ("Seccomp", "2".to_owned())]);
        for (name, wanted) in expected {
            let found = status_field(engine, name)?;
            ensure!(
                found == wanted,
                "{name} of the engine is {found:?}, not {wanted:?}"
            );
        }
        session.check_tunnel()?;
        session.end().map(drop)
    })
}
