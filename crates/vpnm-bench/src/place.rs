//! Client, server and a guest of the client's: network namespaces and the cables between them.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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
/// The same over IPv6.
pub(crate) const TARGET6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1));
/// Addresses that nobody has.
pub(crate) const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 77));
pub(crate) const NOBODY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x77));
/// The server's end of the cable over IPv6.
const CABLE6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
/// The device every engine opens.
pub(crate) const DEVICE: &str = "vb0";

/// Whose load it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Programs on the engine's own host.
    Client,
    /// Another host, whose packets the engine's forwards into the device. It sends
    /// packets of the MTU's size, as a real network card does.
    Guest,
}

/// All hosts, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Place {
    client: Namespace,
    guest: Namespace,
    server: Namespace,
}

/// A named network namespace, removed when dropped.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Place {
    /// Makes all namespaces, with `cubic` on every route: the machine's default may be
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
        ip(&format!("-n {s} addr add {TARGET6}/128 dev lo"))?;
        ip(&format!("-n {s} addr add {CABLE6}/64 dev vbs nodad"))?;
        ip(&format!("-n {c} addr add fd77::1/64 dev vbc nodad"))?;
        ip(&format!(
            "-n {s} route change 10.77.0.0/24 dev vbs src {PROXY} congctl cubic"
        ))?;
        ip(&format!(
            "-n {c} route change 10.77.0.0/24 dev vbc src 10.77.0.1 congctl cubic"
        ))?;
        let guest = Namespace::add(format!("vb{id}g"))?;
        let place = Self {
            client,
            guest,
            server,
        };
        place.invite_guest()?;
        Ok(place)
    }

    /// Connects the guest to the client, which forwards for it.
    fn invite_guest(&self) -> anyhow::Result<()> {
        let (c, g, s) = (&self.client.name, &self.guest.name, &self.server.name);
        ip(&format!(
            "link add vbh netns {c} type veth peer name vbg netns {g}"
        ))?;
        for (name, link, address) in [(c, "vbh", "10.78.0.1/24"), (g, "vbg", "10.78.0.2/24")] {
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} addr add {address} dev {link}"))?;
            ip(&format!("-n {name} link set {link} up"))?;
        }
        ip(&format!(
            "-n {g} route add default via 10.78.0.1 dev vbg congctl cubic"
        ))?;
        ip(&format!("-n {s} route add 10.78.0.0/24 via 10.77.0.1"))?;
        ip(&format!("netns exec {g} ethtool -K vbg tso off gso off"))?;
        ip(&format!("netns exec {c} ethtool -K vbh gro on"))?;
        let settings = || {
            let ipv4 = std::path::Path::new("/proc/sys/net/ipv4");
            std::fs::write(ipv4.join("ip_forward"), "1")?;
            // Loads and engine have sixteen thousand sockets each.
            Ok(std::fs::write(
                ipv4.join("ip_local_port_range"),
                "1024 65535",
            )?)
        };
        self.client
            .spawn(settings)?
            .join()
            .map_err(|_| anyhow::anyhow!("a thread panicked"))?
    }

    /// Runs `work` on a thread of one of the hosts that send.
    pub(crate) fn on<T: Send + 'static>(
        &self,
        from: From,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<thread::JoinHandle<anyhow::Result<T>>> {
        match from {
            From::Client => self.client.spawn(work),
            From::Guest => self.guest.spawn(work),
        }
    }

    /// Has one of a thousand of the guest's packets lost on its way into the device, in both
    /// directions, for as long as the loss lives.
    pub(crate) fn lose(&self) -> anyhow::Result<Loss<'_>> {
        let loss = Loss(self);
        self.nft("add table inet loss")?;
        self.nft("add chain inet loss forward { type filter hook forward priority 0 ; }")?;
        self.nft("add rule inet loss forward meta l4proto tcp numgen random mod 1000 < 1 drop")?;
        Ok(loss)
    }

    fn nft(&self, command: &str) -> anyhow::Result<()> {
        ip(&format!("netns exec {} nft {command}", self.client.name))
    }

    /// Leads the target's address past all engines.
    pub(crate) fn route_direct(&self) -> anyhow::Result<()> {
        let client = &self.client.name;
        for host in [TARGET, NOBODY] {
            ip(&format!(
                "-n {client} route replace {host} via {PROXY} dev vbc congctl cubic"
            ))?;
        }
        for host in [TARGET6, NOBODY6] {
            ip(&format!(
                "-n {client} route replace {host} via {CABLE6} dev vbc congctl cubic"
            ))?;
        }
        Ok(())
    }

    /// Leads the target's address into the engine's device.
    pub(crate) fn route_through_device(&self) -> anyhow::Result<()> {
        let client = &self.client.name;
        for host in [TARGET, NOBODY, TARGET6, NOBODY6] {
            ip(&format!(
                "-n {client} route replace {host} dev {DEVICE} congctl cubic"
            ))?;
        }
        Ok(())
    }

    /// Whether the engine's device exists and is up; brings it up if not.
    pub(crate) fn device_is_up(&self) -> bool {
        let client = &self.client.name;
        // Without an address of its own, which it takes the moment it goes up, the kernel
        // sends nothing by itself, which would wake the engine.
        ip(&format!("-n {client} link set {DEVICE} addrgenmode none")).is_ok()
            && ip(&format!("-n {client} link set {DEVICE} up")).is_ok()
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

/// Packets that are forwarded get lost while this lives.
#[derive(Debug)]
pub(crate) struct Loss<'a>(&'a Place);

impl Drop for Loss<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.nft("delete table inet loss") {
            crate::report::complain(&error);
        }
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
