//! The process that reads what the network sends has no right it could lose.

use anyhow::ensure;
use vpnm_lab::harness::Case;
use vpnm_lab::machine::status_field;
use vpnm_lab::session::Session;

/// The engine's own case.
pub(crate) fn case<'a>() -> Case<'a> {
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
