//! Two network namespaces and the cable between them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The server's end of the cable, where its SOCKS 5 proxy listens.
pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The proxy's port.
pub(crate) const PROXY_PORT: u16 = 1080;
/// Where the loads go: an address of the server's behind the engine's device.
pub(crate) const TARGET: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// The device every engine opens.
pub(crate) const DEVICE: &str = "vb0";

/// Client and server, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    client: Namespace,
    server: Namespace,
}

/// A named network namespace, removed when dropped.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Place {
    /// Makes both namespaces, with `cubic` on every route: the machine's default may be
    /// a congestion control that caps all engines alike.
    pub(crate) fn build() -> anyhow::Result<Self> {
        let id = std::process::id();
        let client = Namespace::add(format!("vb{id}c"))?;
        let server = Namespace::add(format!("vb{id}s"))?;
        let (c, s) = (client.name.as_str(), server.name.as_str());
        ip(&format!(
            "link add vbc netns {c} type veth peer name vbs netns {s}"
        ))?;
        for (name, link, address) in [(c, "vbc", "10.77.0.1/24"), (s, "vbs", "10.77.0.2/24")] {
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} addr add {address} dev {link}"))?;
            ip(&format!("-n {name} link set {link} up"))?;
        }
        ip(&format!("-n {s} addr add {TARGET}/32 dev lo"))?;
        ip(&format!(
            "-n {s} route change 10.77.0.0/24 dev vbs src {PROXY} congctl cubic"
        ))?;
        ip(&format!(
            "-n {c} route change 10.77.0.0/24 dev vbc src 10.77.0.1 congctl cubic"
        ))?;
        Ok(Self { client, server })
    }

    /// Leads the target's address past all engines.
    pub(crate) fn route_direct(&self) -> anyhow::Result<()> {
        let client = &self.client.name;
        ip(&format!(
            "-n {client} route replace {TARGET}/32 via {PROXY} dev vbc congctl cubic"
        ))
    }

    /// Leads the target's address into the engine's device.
    pub(crate) fn route_through_device(&self) -> anyhow::Result<()> {
        let client = &self.client.name;
        ip(&format!(
            "-n {client} route replace {TARGET}/32 dev {DEVICE} congctl cubic"
        ))
    }

    /// Whether the engine's device exists and is up; brings it up if not.
    pub(crate) fn device_is_up(&self) -> bool {
        let client = &self.client.name;
        ip(&format!("-n {client} link set {DEVICE} up")).is_ok()
    }

    /// Gives the device an address, where the engine did not.
    pub(crate) fn address_device(&self) -> anyhow::Result<()> {
        let client = &self.client.name;
        ip(&format!(
            "-n {client} addr replace 198.18.0.1/15 dev {DEVICE}"
        ))
    }

    /// A command that runs in the client's namespace, with its own process id.
    pub(crate) fn client_command(&self, program: &std::path::Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.client.name])
            .arg(program);
        command
    }

    /// Runs `work` on a thread of the client's.
    pub(crate) fn on_client<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<thread::JoinHandle<anyhow::Result<T>>> {
        self.client.spawn(work)
    }

    /// Runs `work` on a thread of the server's.
    pub(crate) fn on_server<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<thread::JoinHandle<anyhow::Result<T>>> {
        self.server.spawn(work)
    }
}

impl Namespace {
    fn add(name: String) -> anyhow::Result<Self> {
        ip(&format!("netns add {name}"))?;
        Ok(Self { name })
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<thread::JoinHandle<anyhow::Result<T>>> {
        let path = format!("/run/netns/{}", self.name);
        let file = File::open(&path).with_context(|| format!("cannot open {path}"))?;
        let enter = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter the namespace")?;
            work()
        };
        thread::Builder::new()
            .spawn(enter)
            .context("cannot start a thread")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&format!("netns del {}", self.name)) {
            crate::report::complain(&error);
        }
    }
}

/// Runs iproute2.
fn ip(arguments: &str) -> anyhow::Result<()> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .context("cannot run ip; type: apt-get install iproute2")?;
    if !output.status.success() {
        bail!(
            "ip {arguments}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
