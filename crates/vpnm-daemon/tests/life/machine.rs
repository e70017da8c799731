//! A machine with systemd as its process 1, in the network of a session's client.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vpnm_lab::harness::Skip;
use vpnm_lab::machine::{children, need, wait_for};
use vpnm_lab::session::Session;
use vpnm_world::Process;

use crate::scene::PATIENCE;

/// How its control group is called.
const NAME: &str = "vpnm-life";

/// The machine; it ends when this is dropped.
pub(crate) struct Machine {
    init: u32,
    group: PathBuf,
    unshare: Process,
}

impl Machine {
    /// Boots it with the program under test at `/root/vpnm`.
    pub(crate) fn boot(session: &Session) -> Result<Self> {
        need(&["unshare", "nsenter", "systemctl"])?;
        let group = own_group()?;
        let mut command = session.client().command("/bin/sh");
        // The client does not see the control groups: it is put there from outside.
        let script = format!(
            "until grep -q {NAME} /proc/self/cgroup; do sleep 0.02; done; mkdir -p /run/machine && \
             exec unshare --fork --pid --kill-child --mount --ipc --uts --cgroup \
             /bin/sh -c \"$1\" boot /run/machine {}",
            vpnm_lab::product::binary()?.display()
        );
        command = command.args(["-c", &script, "start", include_str!("boot.sh")]);
        let unshare = command.spawn()?;
        std::fs::write(group.join("cgroup.procs"), unshare.id().to_string())?;
        let init = wait_for("process 1", PATIENCE, || {
            let named = |pid: &u32| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
                name.is_ok_and(|name| name.trim() == "systemd")
            };
            Ok(children(unshare.id())?.into_iter().find(named))
        })?;
        let machine = Self {
            init,
            group,
            unshare,
        };
        wait_for("the end of the boot", PATIENCE, || {
            let state = machine.run(&["systemctl", "is-system-running"]);
            let state = state.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            Ok(matches!(state.as_deref().map(str::trim), Ok("running" | "degraded")).then_some(()))
        })?;
        Ok(machine)
    }

    /// Runs a program on it.
    pub(crate) fn run(&self, command: &[&str]) -> Result<Output> {
        let mut nsenter = Command::new("nsenter");
        nsenter
            .args(["--target", &self.init.to_string(), "--all", "--"])
            .args(command)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(nsenter.output()?)
    }

    /// As [`Machine::run`]; it must succeed. What it wrote.
    pub(crate) fn must(&self, command: &[&str]) -> Result<String> {
        let output = self.run(command)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let log = self.run(&["journalctl", "--no-pager", "-n", "40", "-u", "vpnm*"])?;
            bail!(
                "{command:?}: {}: {text}{}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&log.stdout)
            );
        }
        Ok(text)
    }

    /// The name of the tunnel's state.
    pub(crate) fn state(&self) -> Result<String> {
        let status = self.status()?;
        let name = status.pointer("/state/name").and_then(Value::as_str);
        Ok(name.context("the status has no state")?.to_owned())
    }

    /// Why the packet filter is kept by nobody, if that is said.
    pub(crate) fn unkept(&self) -> Result<Option<String>> {
        let status = self.status()?;
        let unkept = status.get("unkept").and_then(Value::as_str);
        Ok(unkept.map(str::to_owned))
    }

    fn status(&self) -> Result<Value> {
        let status = self.must(&["vpnm", "status", "--json"])?;
        Ok(serde_json::from_str(&status)?)
    }

    /// Waits for a state.
    pub(crate) fn wait_for_state(&self, name: &str) -> Result<()> {
        let mut last = String::new();
        let waited = wait_for(&format!("the state {name}"), PATIENCE, || {
            last = self.state()?;
            Ok((last == name).then_some(()))
        });
        waited.with_context(|| format!("it was {last}"))
    }

    /// A property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> Result<String> {
        let shown = self.must(&["systemctl", "show", "--value", "--property", name, unit])?;
        Ok(shown.trim().to_owned())
    }

    /// The kernel's number of the tunnel's interface.
    pub(crate) fn interface(&self) -> Result<String> {
        let shown = self.must(&["ip", "-o", "link", "show", "vpnm0"])?;
        Ok(shown.split(':').next().unwrap_or_default().to_owned())
    }

    /// Every file that an installation could leave: paths, modes, owners and sizes,
    /// and what the accounts' files hold.
    pub(crate) fn files(&self) -> Result<String> {
        let listed = self.must(&[
            "/bin/sh",
            "-c",
            "find /etc /var /root /run -xdev \\( -path /var/log -o -path /run/systemd -o -path /run/log \
               -o -path /run/udev \\) -prune -o -name '*-' -o -printf '%p %m %U %G\\n' | sort; \
             find /usr -xdev -name '*vpnm*' | sort; cat /etc/passwd /etc/group",
        ])?;
        Ok(listed)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // A machine that is gone already is as wanted.
        let _gone = self.unshare.kill();
        for _ in 0..100 {
            if remove_groups(&self.group) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// A control group that a machine of its own may divide.
fn own_group() -> Result<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let unified = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next()? == "cgroup2").then_some(place)
    });
    let group = unified.map(|place| {
        let name = format!("{NAME}-{}", std::process::id());
        Path::new(place).join(name)
    });
    let group = group.filter(|group| std::fs::create_dir(group).is_ok());
    let skip = || Skip("no control group can be made for a systemd of its own".to_owned());
    Ok(group.ok_or_else(skip)?)
}

/// Removes a control group and those below it; whether it is gone.
fn remove_groups(group: &Path) -> bool {
    let below = std::fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.path().is_dir()) {
        remove_groups(&entry.path());
    }
    std::fs::remove_dir(group).is_ok()
}

/// Makes sure that two lists of files are the same.
pub(crate) fn ensure_same(before: &str, after: &str) -> Result<()> {
    let missing: Vec<&str> = before.lines().filter(|l| !after.contains(l)).collect();
    let surplus: Vec<&str> = after.lines().filter(|l| !before.contains(l)).collect();
    ensure!(
        missing.is_empty() && surplus.is_empty(),
        "missing: {missing:#?}\ntoo much: {surplus:#?}"
    );
    Ok(())
}
