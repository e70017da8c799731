//! The units under a real systemd: installed, started, killed, upgraded, removed.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use vpnm_lab::machine::{need, wait_for};
use vpnm_lab::session::Session;

use crate::machine::{Machine, ensure_same};
use crate::scene::{PATIENCE, Scene, ensure_blocked};

/// Where the unit is told otherwise.
const OVERRIDES: &str = "/run/systemd/system/vpnmd.service.d";

pub(crate) const CASES: &[Scene] = &[
    (
        "systemd: installed, connected, killed, upgraded, removed: nothing is left",
        whole_life,
    ),
    ("systemd: the units expose little", exposure),
    (
        "systemd: a machine that is to be secured boots blocked",
        boots_blocked,
    ),
];

fn whole_life() -> Result<()> {
    let session = Session::begin(None)?;
    let machine = Machine::boot(&session)?;
    let before = machine.files()?;
    machine.must(&["/root/vpnm", "install"])?;
    ensure!(machine.state()? == "disconnected");
    machine.must(&["vpnm", "connect", session.link()])?;
    session.check_tunnel()?;
    let interface = machine.interface()?;

    // Killed: the interface stays, the next daemon goes on with it.
    machine.must(&["systemctl", "kill", "--signal=KILL", "vpnmd.service"])?;
    wait_for("another daemon", PATIENCE, || {
        Ok((machine.property("vpnmd.service", "NRestarts")? == "1").then_some(()))
    })?;
    machine.wait_for_state("connected")?;
    session.check_tunnel()?;
    ensure!(
        machine.interface()? == interface,
        "killed: another interface"
    );

    // Stopped while clients may call: the socket starts it again.
    machine.must(&["systemctl", "restart", "vpnmd.service"])?;
    machine.wait_for_state("connected")?;
    ensure!(
        machine.interface()? == interface,
        "restarted: another interface"
    );

    // Upgraded: the same once more.
    let again = machine.must(&["/root/vpnm", "install"])?;
    ensure!(!again.contains("+ "), "installed twice: {again}");
    machine.wait_for_state("connected")?;
    session.check_tunnel()?;
    ensure!(
        machine.interface()? == interface,
        "upgraded: another interface"
    );

    stands_still(&machine, &interface)?;
    session.check_tunnel()?;
    keeps_the_filter(&machine)?;
    session.check_tunnel()?;
    keeps_nothing(&machine)?;
    session.check_tunnel()?;

    machine.must(&["vpnm", "uninstall", "--purge"])?;
    ensure_same(&before, &machine.files()?)?;
    let units = machine.must(&["systemctl", "list-units", "--all", "--no-legend", "vpnm*"])?;
    ensure!(units.is_empty(), "{units}");
    drop(machine);
    let leaks = session.capture().tally()?;
    ensure!(leaks.leaked() == 0, "{leaks:?}");
    session.check_restored()
}

/// A daemon whose heart stands still is found by the watchdog and replaced.
fn stands_still(machine: &Machine, interface: &str) -> Result<()> {
    override_unit(machine, "WatchdogSec=2")?;
    restart(machine)?;
    let restarts = machine.property("vpnmd.service", "NRestarts")?;
    let stop = ["kill", "--kill-who=main", "--signal=STOP", "vpnmd.service"];
    machine.must(&[&["systemctl"], &stop[..]].concat())?;
    wait_for("the watchdog", PATIENCE, || {
        Ok((machine.property("vpnmd.service", "NRestarts")? != restarts).then_some(()))
    })?;
    machine.wait_for_state("connected")?;
    ensure!(machine.interface()? == interface, "another interface");
    remove_overrides(machine)
}

/// While the daemon is dead the service manager holds the packet filter: nobody can
/// flush it.
fn keeps_the_filter(machine: &Machine) -> Result<()> {
    override_unit(machine, "RestartSec=2")?;
    let restarts = machine.property("vpnmd.service", "NRestarts")?;
    machine.must(&["systemctl", "kill", "--signal=KILL", "vpnmd.service"])?;
    machine.must(&["nft", "flush", "ruleset"])?;
    let deleted = machine.run(&["nft", "delete", "table", "inet", "vpnm"])?;
    ensure!(!deleted.status.success(), "the filter could be deleted");
    let output = machine.must(&["nft", "list", "chain", "inet", "vpnm", "output"])?;
    ensure!(output.contains("policy drop"), "{output}");
    wait_for("another daemon", PATIENCE, || {
        Ok((machine.property("vpnmd.service", "NRestarts")? != restarts).then_some(()))
    })?;
    machine.wait_for_state("connected")?;
    remove_overrides(machine)
}

/// Has the unit say this besides, for what is run by it from now on.
fn override_unit(machine: &Machine, settings: &str) -> Result<()> {
    let script =
        format!("mkdir -p {OVERRIDES} && printf '[Service]\\n{settings}\\n' > {OVERRIDES}/w.conf");
    machine.must(&["/bin/sh", "-c", &script])?;
    machine.must(&["systemctl", "daemon-reload"]).map(drop)
}

fn remove_overrides(machine: &Machine) -> Result<()> {
    machine.must(&["rm", "-r", OVERRIDES])?;
    machine.must(&["systemctl", "daemon-reload"]).map(drop)
}

fn restart(machine: &Machine) -> Result<()> {
    machine.must(&["systemctl", "restart", "vpnmd.service"])?;
    machine.wait_for_state("connected")
}

/// Ends the daemon alone, and waits until that is known.
fn kill_daemon(machine: &Machine) -> Result<()> {
    let kill = ["kill", "--kill-who=main", "--signal=KILL", "vpnmd.service"];
    machine.must(&[&["systemctl"], &kill[..]].concat())?;
    wait_for("the end of the daemon", PATIENCE, || {
        let state = machine.property("vpnmd.service", "SubState")?;
        Ok((state == "auto-restart").then_some(()))
    })
}

/// The process of ours with this argument, if there is one.
fn process(machine: &Machine, argument: &str) -> Result<Option<String>> {
    let found = machine.run(&["pgrep", "-f", &format!("^vpnm {argument}")])?;
    let found = String::from_utf8(found.stdout)?.trim().to_owned();
    Ok((!found.is_empty()).then_some(found))
}

/// Whether our tables are somebody's.
fn is_owned(machine: &Machine) -> Result<bool> {
    machine.must(&["nft", "flush", "ruleset"])?;
    let deleted = machine.run(&["nft", "delete", "table", "inet", "vpnm"])?;
    let tables = machine.must(&["nft", "list", "tables"])?;
    Ok(!deleted.status.success() && tables.contains("inet vpnm"))
}

/// A service manager that is told to keep nothing is found out, and a process keeps the
/// packet filter, until it is told otherwise. That process outlives the daemon; the engine
/// does not, even if it is stopped.
fn keeps_nothing(machine: &Machine) -> Result<()> {
    ensure!(process(machine, "keep")?.is_none(), "a process keeps it");
    override_unit(machine, "FileDescriptorStoreMax=0\\nRestartSec=3")?;
    restart(machine)?;
    let keeper = wait_for("a process that keeps it", PATIENCE, || {
        process(machine, "keep")
    })?;
    let log = machine.must(&["journalctl", "--no-pager", "-u", "vpnmd.service"])?;
    ensure!(log.contains("does not keep the packet filter"), "{log}");
    ensure!(machine.unkept()?.is_none());

    let engine = process(machine, "engine")?.context("there is no engine")?;
    machine.must(&["kill", "-STOP", &engine])?;
    kill_daemon(machine)?;
    ensure!(is_owned(machine)?, "killed: the tables are nobody's");
    ensure!(
        process(machine, "engine")?.is_none(),
        "the engine outlives the daemon"
    );
    machine.wait_for_state("connected")?;
    ensure!(process(machine, "keep")?.as_ref() == Some(&keeper));

    machine.must(&["systemctl", "stop", "vpnmd.socket", "vpnmd.service"])?;
    ensure!(is_owned(machine)?, "stopped: the tables are nobody's");
    machine.must(&["systemctl", "start", "vpnmd.socket", "vpnmd.service"])?;
    machine.wait_for_state("connected")?;
    ensure!(process(machine, "keep")?.as_ref() == Some(&keeper));

    ends_what_keeps(machine)?;
    remove_overrides(machine)?;
    restart(machine)?;
    wait_for("the end of the process", PATIENCE, || {
        Ok(process(machine, "keep")?.is_none().then_some(()))
    })?;
    ensure!(machine.unkept()?.is_none());
    Ok(())
}

/// Where it is told to end that process as well, the status says what follows, which is so.
fn ends_what_keeps(machine: &Machine) -> Result<()> {
    override_unit(
        machine,
        "FileDescriptorStoreMax=0\\nRestartSec=3\\nKillMode=mixed",
    )?;
    restart(machine)?;
    wait_for("the status to say so", PATIENCE, || {
        Ok((machine.unkept()?.as_deref() == Some("service_manager")).then_some(()))
    })?;
    kill_daemon(machine)?;
    ensure!(!is_owned(machine)?, "it was told that nobody owns them");
    machine.wait_for_state("connected")
}

/// What systemd's own judge says of the units (systemd-analyze(1)).
fn exposure() -> Result<()> {
    need(&["systemd-analyze"])?;
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/systemd");
    for unit in ["vpnmd.service", "vpnm-boot.service"] {
        let judged = Command::new("systemd-analyze")
            .args(["security", "--no-pager", "--offline=true", "--threshold=30"])
            .arg(units.join(unit))
            .output()?;
        let text = String::from_utf8_lossy(&judged.stdout).into_owned();
        ensure!(judged.status.success(), "{unit}: {text}");
        ensure!(text.contains("exposure level"), "{unit}: {text}");
    }
    Ok(())
}

/// The block at the start waits for no disk: neither for what it names nor for what
/// its settings imply (systemd.exec(5)).
fn needs_no_disk(machine: &Machine) -> Result<()> {
    for name in ["Requires", "BindsTo", "Requisite", "RequiresMountsFor"] {
        let needed = machine.property("vpnm-boot.service", name)?;
        let is_on_disk = |word: &str| {
            let unit = word.trim_start_matches('/');
            !word.starts_with("/run") && ["var", "tmp"].iter().any(|disk| unit.starts_with(disk))
        };
        let disk = needed.split_whitespace().find(|word| is_on_disk(word));
        ensure!(disk.is_none(), "{name}={needed}");
    }
    // And in deed: with mounts that fail.
    let broken = "for at in var var-tmp var-lib; do \
         printf '[Mount]\\nWhat=/nowhere\\nWhere=/%s\\n' $(echo $at | tr - /) \
         > /run/systemd/system/$at.mount; done; systemctl daemon-reload; \
         systemctl restart vpnm-boot.service; was=$?; \
         rm /run/systemd/system/*.mount; systemctl daemon-reload; exit $was";
    machine.must(&["/bin/sh", "-c", broken])?;
    Ok(())
}

fn boots_blocked() -> Result<()> {
    let session = Session::begin(None)?;
    let machine = Machine::boot(&session)?;
    machine.must(&["/root/vpnm", "install"])?;
    let units = ["vpnmd.service", "vpnmd.socket", "vpnm-boot.service"];
    let verify = [
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
    ];
    let verified = machine.run(&[&verify[..], &units[..]].concat())?;
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    ensure!(said.is_empty(), "{said}");
    needs_no_disk(&machine)?;
    machine.must(&["systemctl", "stop", "vpnmd.socket", "vpnmd.service"])?;
    let boot = || {
        machine.must(&["systemctl", "stop", "vpnm-boot.service"])?;
        machine.must(&["systemctl", "start", "vpnm-boot.service"])
    };
    // Never connected: nothing is blocked.
    boot()?;
    ensure!(machine.must(&["nft", "list", "tables"])?.is_empty());
    // Without the disk with the journal all is, at the first start and at the second.
    machine.must(&["rm", "-r", "/var/lib/vpnm"])?;
    boot()?;
    ensure_blocked(&session)?;
    // The daemon that comes after it takes the block over and says why.
    machine.must(&["systemctl", "start", "vpnmd.service"])?;
    ensure!(machine.state()? == "blocked");
    machine.must(&["systemctl", "stop", "vpnmd.socket", "vpnmd.service"])?;
    machine
        .must(&["nft", "destroy", "table", "inet", "vpnm"])
        .ok();
    boot()?;
    ensure_blocked(&session)?;
    machine.must(&["systemctl", "start", "vpnmd.service"])?;
    ensure!(machine.state()? == "blocked");
    let order = machine.property("vpnm-boot.service", "Before")?;
    ensure!(order.contains("network-pre.target") && order.contains("vpnmd.service"));
    machine.must(&["vpnm", "lockdown", "off"])?;
    machine.must(&["vpnm", "disconnect"])?;
    ensure!(machine.must(&["nft", "list", "tables"])?.is_empty());
    machine.must(&["vpnm", "uninstall"])?;
    drop(machine);
    session.check_restored()
}
