//! Foreign clients of the daemon: systemd's `varlinkctl` and PyPI `varlink`,
//! as every kind of user.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vpnm_lab::harness::{Case, Skip};
use vpnm_lab::machine::{shell, shell_as};
use vpnm_lab::session::Session;
use vpnm_world::{Host, User};

/// Where `cargo xtask prepare` puts programs of a newer Debian.
const NEWER: &str = "/var/cache/vpnm-lab/newer";
const DAEMON: &str = "/run/vpnm/vpnmd.sock";
const INTERFACE: &str = "net.vpnm.Tunnel";

/// Calls a method as whoever runs it, with nothing but the standard library.
const CALL: &str = r#"
import json, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect("/run/vpnm/vpnmd.sock")
call = {"method": "net.vpnm.Tunnel." + sys.argv[1], "more": sys.argv[1] == "Watch"}
client.sendall(json.dumps(call).encode() + b"\0")
answer = b""
while not answer.endswith(b"\0"):
    answer += client.recv(65536)
print(json.loads(answer.split(b"\0")[0]).get("error", "permitted"))
"#;

/// Follows the tunnel with the package from PyPI.
const PACKAGE: &str = r#"
import varlink
with varlink.Client("unix:/run/vpnm/vpnmd.sock") as client:
    assert "net.vpnm.Tunnel" in client.get_interfaces(), client.get_interfaces()
    with client.open("net.vpnm.Tunnel") as tunnel:
        status = tunnel.Status()
        for event in tunnel.Watch(_more=True):
            assert event == status, (event, status)
            break
    with client.open("net.vpnm.Tunnel") as tunnel:
        try:
            tunnel.LiftLockdown()
            print("permitted")
        except varlink.VarlinkError as error:
            print(error.error())
"#;

/// The cases of this file.
pub(crate) fn cases<'a>() -> Vec<Case<'a>> {
    vec![
        Case::new("daemon, permits of every caller", |_| permits()),
        Case::new("daemon and varlinkctl", |_| varlinkctl()),
        Case::new("daemon and PyPI varlink", |_| package()),
    ]
}

fn with_daemon(check: impl Fn(&Host) -> Result<()>) -> Result<()> {
    let mut session = Session::begin(None)?;
    session.start_daemon()?;
    check(session.client())?;
    session.end().map(drop)
}

/// What the daemon says to a call, made under these programs.
fn said(host: &Host, user: User, by: &str, method: &str) -> Result<String> {
    let script = format!("{by} /usr/bin/python3 -c '{CALL}' {method}");
    Ok(shell_as(host, user, &script)?.trim().to_owned())
}

fn permits() -> Result<()> {
    let denied = "org.varlink.service.PermissionDenied";
    let methods = [
        "Connect",
        "Disconnect",
        "Reconnect",
        "Lockdown",
        "LiftLockdown",
    ];
    with_daemon(|host| {
        let gid = shell(host, "getent group vpnm | cut -d: -f3")?;
        let nobody = format!(
            "setpriv --reuid 65534 --regid {} --clear-groups",
            gid.trim()
        );
        let strangers = [
            (User::Mallory, ""),
            (User::Mallory, "unshare --user --map-root-user"),
            (User::Root, nobody.as_str()),
            (User::Engine, ""),
        ];
        for (user, by) in strangers {
            for method in ["Status", "Watch"] {
                let answer = said(host, user, by, method)?;
                ensure!(answer == "permitted", "{user:?} {by}: {method}: {answer}");
            }
            for method in methods {
                let answer = said(host, user, by, method)?;
                ensure!(answer == denied, "{user:?} {by}: {method}: {answer}");
            }
        }
        for method in methods {
            // It may fail, but not for want of a right.
            let is_root_only = method == "LiftLockdown";
            let answer = said(host, User::Alice, "", method)?;
            ensure!((answer == denied) == is_root_only, "{method}: {answer}");
            let answer = said(host, User::Root, "", method)?;
            ensure!(answer != denied, "root: {method}: {answer}");
        }
        Ok(())
    })
}

/// The machine's own `varlinkctl`, or the unpacked one; `None` where it cannot
/// be had, which is said.
fn program() -> Result<Option<PathBuf>> {
    let unpacked = Path::new(NEWER).join("run/varlinkctl");
    let found = [PathBuf::from("varlinkctl"), unpacked]
        .into_iter()
        .find(|program| {
            let asked = Command::new(program).arg("--version").output();
            asked.is_ok_and(|output| output.status.success())
        });
    if found.is_none() {
        let Ok(reason) = std::fs::read_to_string(format!("{NEWER}.unavailable")) else {
            return Err(Skip("there is no varlinkctl: cargo xtask prepare".to_owned()).into());
        };
        println!("SKIP no varlinkctl: {reason}");
    }
    Ok(found)
}

fn varlinkctl() -> Result<()> {
    let Some(program) = program()? else {
        return Ok(());
    };
    let program = format!("{} --no-pager --json=short", program.display());
    with_daemon(|host| {
        let run =
            |arguments: &str| shell_as(host, User::Mallory, &format!("{program} {arguments}"));
        let info = run(&format!("info {DAEMON}"))?;
        ensure!(info.contains(INTERFACE), "{info}");
        let interfaces = run(&format!("list-interfaces {DAEMON}"))?;
        ensure!(interfaces.contains(INTERFACE), "{interfaces}");
        let text = run(&format!("introspect {DAEMON} {INTERFACE}"))?;
        ensure!(text.contains("LiftLockdown"), "{text}");
        let status = run(&format!("call {DAEMON} {INTERFACE}.Status '{{}}'"))?;
        let status: Value = serde_json::from_str(&status)?;
        let state = status.pointer("/state/name").and_then(Value::as_str);
        ensure!(state == Some("disconnected"), "{status}");
        // A stream that does not end: its first event, then the client goes.
        let first = run(&format!(
            "--more --timeout=2 call {DAEMON} {INTERFACE}.Watch '{{}}' | head -c 10"
        ))?;
        ensure!(first.contains('{'), "{first}");
        let refused = run(&format!("call {DAEMON} {INTERFACE}.Disconnect '{{}}'"));
        let Err(refused) = refused else {
            bail!("a stranger disconnected");
        };
        let refused = refused.to_string();
        ensure!(refused.contains("PermissionDenied"), "{refused}");
        let call = format!("{program} call {DAEMON} {INTERFACE}.Disconnect '{{}}'");
        shell_as(host, User::Alice, &call).map(drop)
    })
}

fn package() -> Result<()> {
    let place = std::env::temp_dir().join("vpnm-lab-pip-varlink");
    let installed = Command::new("python3")
        .args("-m pip install --quiet --no-deps --upgrade --target".split(' '))
        .arg(&place)
        .arg("varlink")
        .output()
        .context("python3 could not be started")?;
    if !installed.status.success() {
        return Err(Skip("pip cannot install varlink".to_owned()).into());
    }
    let script = format!("PYTHONPATH={} python3 -c '{PACKAGE}'", place.display());
    with_daemon(|host| {
        let answer = shell_as(host, User::Mallory, &script)?;
        let denied = "org.varlink.service.PermissionDenied";
        ensure!(answer.trim() == denied, "a stranger: {answer}");
        let answer = shell(host, &script)?;
        ensure!(answer.trim() == "permitted", "root: {answer}");
        Ok(())
    })
}
