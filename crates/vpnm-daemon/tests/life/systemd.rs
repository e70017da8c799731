//! The units under a real systemd: installed, started, killed, upgraded, removed.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use vpnm_lab::machine::{need, wait_for};
use vpnm_lab::session::Session;

use crate::machine::{Machine, ensure_same};
use crate::scene::{PATIENCE, Scene, ensure_blocked};

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
    let directory = "/run/systemd/system/vpnmd.service.d";
    let sooner = format!(
        "mkdir -p {directory} && printf '[Service]\\nWatchdogSec=2\\n' > {directory}/w.conf"
    );
    machine.must(&["/bin/sh", "-c", &sooner])?;
    machine.must(&["systemctl", "daemon-reload"])?;
    machine.must(&["systemctl", "restart", "vpnmd.service"])?;
    machine.wait_for_state("connected")?;
    let restarts = machine.property("vpnmd.service", "NRestarts")?;
    let stop = ["kill", "--kill-who=main", "--signal=STOP", "vpnmd.service"];
    machine.must(&[&["systemctl"], &stop[..]].concat())?;
    wait_for("the watchdog", PATIENCE, || {
        Ok((machine.property("vpnmd.service", "NRestarts")? != restarts).then_some(()))
    })?;
    machine.wait_for_state("connected")?;
    ensure!(machine.interface()? == interface, "another interface");
    machine.must(&["rm", "-r", directory])?;
    Ok(())
}

/// While the daemon is dead the service manager holds the packet filter: nobody can
/// flush it.
fn keeps_the_filter(machine: &Machine) -> Result<()> {
    let directory = "/run/systemd/system/vpnmd.service.d";
    let later = format!(
        "mkdir -p {directory} && printf '[Service]\\nRestartSec=2\\n' > {directory}/w.conf"
    );
    machine.must(&["/bin/sh", "-c", &later])?;
    machine.must(&["systemctl", "daemon-reload"])?;
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
    machine.must(&["rm", "-r", directory])?;
    machine.must(&["systemctl", "daemon-reload"])?;
    Ok(())
}

/// A service manager that is told to keep nothing is found out, and a process keeps the
/// packet filter, until it is told otherwise.
fn keeps_nothing(machine: &Machine) -> Result<()> {
    const KEEPER: &[&str] = &["pgrep", "-xf", "vpnm keep"];
    let directory = "/run/systemd/system/vpnmd.service.d";
    let nothing = format!(
        "mkdir -p {directory} && \
         printf '[Service]\\nFileDescriptorStoreMax=0\\n' > {directory}/w.conf"
    );
    let restart = || {
        machine.must(&["systemctl", "daemon-reload"])?;
        machine.must(&["systemctl", "restart", "vpnmd.service"])?;
        machine.wait_for_state("connected")
    };
    ensure!(!machine.run(KEEPER)?.status.success(), "a process keeps it");
    machine.must(&["/bin/sh", "-c", &nothing])?;
    restart()?;
    wait_for("a process that keeps it", PATIENCE, || {
        Ok(machine.run(KEEPER)?.status.success().then_some(()))
    })?;
    let log = machine.must(&["journalctl", "--no-pager", "-u", "vpnmd.service"])?;
    ensure!(log.contains("does not keep the packet filter"), "{log}");
    machine.must(&["rm", "-r", directory])?;
    restart()?;
    ensure!(!machine.run(KEEPER)?.status.success(), "a process keeps it");
    Ok(())
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
