//! What an administrator, or an attacker, does to a host: by the usual tools
//! of Linux, as foreign programs would.

use std::io;
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Mode, OFlags};
use vpnm_world::{Host, Process, User};

use crate::harness::Skip;

/// Runs a shell command on a host and returns what it wrote.
///
/// # Errors
///
/// When it fails; the text has what it said.
pub fn shell(host: &Host, script: &str) -> Result<String> {
    shell_as(host, User::Root, script)
}

/// As [`shell`], by another user.
///
/// # Errors
///
/// As [`shell`].
pub fn shell_as(host: &Host, user: User, script: &str) -> Result<String> {
    let output = host
        .command("/bin/sh")
        .args(["-c", script])
        .user(user)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "on the {}: {script}: {}: {text}{errors}",
            host.name(),
            output.status
        );
    }
    Ok(text)
}

/// Starts a shell command of root that goes on until the process is dropped.
///
/// # Errors
///
/// When it cannot be started.
pub fn start(host: &Host, script: &str) -> io::Result<Process> {
    host.command("/bin/sh").args(["-c", script]).spawn()
}

/// Makes sure that the machine has these programs.
///
/// # Errors
///
/// [`Skip`] naming the first that is missing.
pub fn need(programs: &[&str]) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    for program in programs {
        let found = path
            .split(':')
            .chain(["/usr/sbin", "/sbin"])
            .any(|directory| Path::new(directory).join(program).exists());
        if !found {
            return Err(Skip(format!("{program} is not installed: cargo xtask prepare")).into());
        }
    }
    Ok(())
}

/// Shows a file of the machine at `inside`.
///
/// # Errors
///
/// Those of `mount(2)`.
pub fn show(host: &Host, outside: &Path, inside: &Path) -> Result<()> {
    host.run(|| {
        if let Some(directory) = inside.parent() {
            std::fs::create_dir_all(directory)?;
        }
        rustix::fs::open(
            inside,
            OFlags::CREATE | OFlags::CLOEXEC,
            Mode::from_raw_mode(0o644),
        )?;
        Ok(rustix::mount::mount_bind(outside, inside)?)
    })
    .with_context(|| format!("showing {} on the {}", outside.display(), host.name()))
}

/// Waits until `check` has an answer.
///
/// # Errors
///
/// After `limit`, saying what was waited for.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut check: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = check()? {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Children of a process, as the machine counts.
///
/// # Errors
///
/// When the process is gone.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text
        .split_ascii_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect())
}

/// Processes in a host's network that were started with this first argument, as the
/// machine counts.
///
/// # Errors
///
/// When the list of processes cannot be read.
pub fn processes(host: &Host, argument: &str) -> io::Result<Vec<u32>> {
    let network = host.run(|| std::fs::read_link("/proc/thread-self/ns/net"))?;
    processes_in(&network, argument)
}

/// As [`processes`], by what `/proc/PID/ns/net` of a network's processes links to.
///
/// # Errors
///
/// As [`processes`].
pub fn processes_in(network: &Path, argument: &str) -> io::Result<Vec<u32>> {
    let is_wanted = |pid: &u32| {
        let place = std::fs::read_link(format!("/proc/{pid}/ns/net"));
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let first = line.split(|byte| *byte == 0).nth(1);
        place.is_ok_and(|place| place == network) && first == Some(argument.as_bytes())
    };
    let names =
        std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names
        .filter_map(|name| name.parse().ok())
        .filter(is_wanted)
        .collect())
}

/// A field of `/proc/PID/status`.
///
/// # Errors
///
/// When the process is gone or has no such field.
pub fn status_field(pid: u32, name: &str) -> Result<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
        .with_context(|| format!("process {pid} has no {name}"))
}

/// Sends one router advertisement (RFC 4861) from a host's interface: a
/// default route of high preference, and routes to `prefixes` (RFC 4191).
///
/// # Errors
///
/// Those of the raw socket.
pub fn advertise(host: &Host, link: &str, prefixes: &[(Ipv6Addr, u8)]) -> io::Result<()> {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
    const HIGH_PREFERENCE: u8 = 0x08;
    let lifetime = 1800_u16.to_be_bytes();
    let mut message = vec![134, 0, 0, 0, 64, HIGH_PREFERENCE];
    message.extend_from_slice(&lifetime);
    message.extend_from_slice(&[0; 8]);
    for (prefix, length) in prefixes {
        message.extend_from_slice(&[24, 3, *length, HIGH_PREFERENCE, 0, 0]);
        message.extend_from_slice(&lifetime);
        message.extend_from_slice(&prefix.octets());
    }
    host.run(|| {
        let socket = rustix::net::socket_with(
            AddressFamily::INET6,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::ICMPV6),
        )?;
        // Receivers ignore advertisements that a router may have forwarded.
        sockopt::set_ipv6_multicast_hops(&socket, 255)?;
        let everyone = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let index = vpnm_world::links::index(link)?;
        let to = std::net::SocketAddrV6::new(everyone, 0, 0, index);
        rustix::net::sendto(&socket, &message, SendFlags::empty(), &to)?;
        Ok(())
    })
}
