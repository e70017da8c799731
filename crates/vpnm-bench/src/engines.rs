//! The engines under test and how each is told the same thing.

mod fetch;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::json;

use crate::arguments::Options;
use crate::bare;
use crate::carried;
use crate::metric::Load;
use crate::place::{DEVICE, PROXY, PROXY_PORT, Place};
use crate::samples::{BARE, DIRECT, OURS};

/// How long an engine may take to open its device.
const START: Duration = Duration::from_secs(10);

/// One engine in one configuration.
#[derive(Debug)]
pub(crate) struct Engine {
    /// The name in tables and results.
    pub(crate) name: String,
    how: How,
}

#[derive(Debug)]
enum How {
    /// No engine at all.
    Direct,
    /// This program as the least that an engine can be.
    Bare(PathBuf),
    Ours(PathBuf),
    SingBox {
        binary: PathBuf,
        stack: &'static str,
        mtu: u32,
    },
    Mihomo {
        binary: PathBuf,
        stack: &'static str,
        mtu: u32,
    },
    Hev {
        binary: PathBuf,
        mtu: u32,
    },
    Tun2Proxy(PathBuf),
    /// This program as the engine of a profile.
    Carrier {
        program: PathBuf,
        link: String,
        authority: PathBuf,
    },
}

/// A running engine; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Option<Child>,
    /// Holds the configuration file for as long as the engine runs.
    _directory: tempfile::TempDir,
}

/// All engines that can be had on this machine, ours first, then what is no peer.
pub(crate) fn all(options: &Options) -> anyhow::Result<Vec<Engine>> {
    let engine = |name: &str, how| Engine {
        name: name.to_owned(),
        how,
    };
    let mut engines = vec![
        engine(
            OURS,
            How::Ours(fs::canonicalize(&options.ours).context("vpnm is not built")?),
        ),
        engine(DIRECT, How::Direct),
        engine(BARE, How::Bare(std::env::current_exe()?)),
    ];
    match fetch::sing_box(&options.peers) {
        Ok(binary) => {
            for (name, stack, mtu) in [
                ("sing-box system", "system", 65_535),
                ("sing-box system 1500", "system", 1500),
                ("sing-box gvisor 1500", "gvisor", 1500),
            ] {
                engines.push(engine(
                    name,
                    How::SingBox {
                        binary: binary.clone(),
                        stack,
                        mtu,
                    },
                ));
            }
        }
        Err(error) => crate::report::complain(&error.context("sing-box is left out")),
    }
    match fetch::mihomo(&options.peers) {
        Ok(binary) => {
            for (name, stack, mtu) in [
                ("mihomo system", "system", 9000),
                ("mihomo system 1500", "system", 1500),
            ] {
                engines.push(engine(
                    name,
                    How::Mihomo {
                        binary: binary.clone(),
                        stack,
                        mtu,
                    },
                ));
            }
        }
        Err(error) => crate::report::complain(&error.context("mihomo is left out")),
    }
    if let Some(binary) = &options.hev {
        engines.push(engine(
            "hev",
            How::Hev {
                binary: binary.clone(),
                mtu: 8500,
            },
        ));
        engines.push(engine(
            "hev 1500",
            How::Hev {
                binary: binary.clone(),
                mtu: 1500,
            },
        ));
    }
    let tun2proxy = match &options.tun2proxy {
        Some(binary) => Ok(binary.clone()),
        None => fetch::tun2proxy(&options.peers),
    };
    match tun2proxy {
        Ok(binary) => engines.push(engine("tun2proxy", How::Tun2Proxy(binary))),
        Err(error) => crate::report::complain(&error.context("tun2proxy is left out")),
    }
    Ok(engines)
}

impl Engine {
    /// Our engine in front of the server that a share link names.
    pub(crate) fn carrier(link: &str, authority: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            name: OURS.to_owned(),
            how: How::Carrier {
                program: std::env::current_exe()?,
                link: link.to_owned(),
                authority: authority.to_owned(),
            },
        })
    }

    /// Whether the engine is made to carry a load: all are, but for the least one.
    pub(crate) fn serves(&self, load: Load) -> bool {
        !matches!(self.how, How::Bare(_)) || bare::LOADS.contains(&load)
    }

    /// Starts the engine and leads the target's address into its device.
    pub(crate) fn start(&self, place: &Place) -> anyhow::Result<Running> {
        let directory = tempfile::tempdir()?;
        let Some(mut command) = self.command(place, directory.path())? else {
            place.route_direct()?;
            return Ok(Running {
                child: None,
                _directory: directory,
            });
        };
        let log = fs::File::create(directory.path().join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let mut running = Running {
            child: Some(child),
            _directory: directory,
        };
        running
            .wait_for_device(place)
            .with_context(|| format!("{} did not start", self.name))?;
        place.address_device()?;
        place.route_through_device()?;
        Ok(running)
    }

    fn command(&self, place: &Place, directory: &Path) -> anyhow::Result<Option<Command>> {
        let proxy = format!("socks5://{PROXY}:{PROXY_PORT}");
        let configuration = directory.join("configuration");
        let command = match &self.how {
            How::Direct => return Ok(None),
            How::Bare(program) => {
                let mut command = place.client_command(program);
                command.arg(bare::WORD);
                command
            }
            How::Ours(binary) => {
                let mut command = place.client_command(binary);
                command.args(["tun2socks", "--device", DEVICE, "--proxy", &proxy]);
                command
            }
            How::SingBox { binary, stack, mtu } => {
                fs::write(&configuration, sing_box(stack, *mtu).to_string())?;
                let mut command = place.client_command(binary);
                command
                    .arg("run")
                    .arg("-c")
                    .arg(&configuration)
                    .arg("-D")
                    .arg(directory);
                command
            }
            How::Mihomo { binary, stack, mtu } => {
                fs::write(&configuration, mihomo(stack, *mtu).to_string())?;
                let mut command = place.client_command(binary);
                command
                    .arg("-f")
                    .arg(&configuration)
                    .arg("-d")
                    .arg(directory);
                command
            }
            How::Hev { binary, mtu } => {
                fs::write(&configuration, hev(*mtu).to_string())?;
                let mut command = place.client_command(binary);
                command.arg(&configuration);
                command
            }
            How::Carrier {
                program,
                link,
                authority,
            } => {
                let mut command = place.client_command(program);
                command.arg(carried::WORD).arg(link).arg(authority);
                command
            }
            How::Tun2Proxy(binary) => {
                let mut command = place.client_command(binary);
                command.args([
                    "--tun",
                    DEVICE,
                    "--proxy",
                    &proxy,
                    "--dns",
                    "direct",
                    "-v",
                    "off",
                    "--ipv6-enabled",
                    "--max-sessions",
                    "65536",
                ]);
                command
            }
        };
        Ok(Some(command))
    }
}

impl Running {
    /// The engine's process, unless there is none.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    fn wait_for_device(&mut self, place: &Place) -> anyhow::Result<()> {
        let end = Instant::now() + START;
        while !place.device_is_up() {
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                let log =
                    fs::read_to_string(self._directory.path().join("log")).unwrap_or_default();
                bail!("it ended with {status}: {}", log.trim());
            }
            if Instant::now() > end {
                bail!("no device within {START:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        // The device exists before the engine reads from it.
        thread::sleep(Duration::from_millis(500));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let ended = child.kill().and_then(|()| child.wait());
            if let Err(error) = ended {
                crate::report::complain(
                    &anyhow::Error::from(error).context("an engine did not end"),
                );
            }
        }
    }
}

fn sing_box(stack: &str, mtu: u32) -> serde_json::Value {
    json!({
        "log": {"level": "fatal"},
        "inbounds": [{
            "type": "tun", "interface_name": DEVICE, "address": ["198.18.0.1/15", "fd98::1/126"],
            "mtu": mtu, "auto_route": false, "stack": stack,
        }],
        "outbounds": [{
            "type": "socks", "server": PROXY.to_string(), "server_port": PROXY_PORT, "version": "5",
        }],
    })
}

/// YAML's subset that is JSON.
fn mihomo(stack: &str, mtu: u32) -> serde_json::Value {
    json!({
        "mode": "rule", "log-level": "silent", "ipv6": true,
        "dns": {"enable": false},
        "tun": {
            "enable": true, "stack": stack, "device": DEVICE, "auto-route": false,
            "auto-detect-interface": false, "mtu": mtu, "inet4-address": ["198.18.0.1/15"],
            "inet6-address": ["fd98::1/126"],
        },
        "proxies": [{
            "name": "target", "type": "socks5", "server": PROXY.to_string(), "port": PROXY_PORT, "udp": true,
        }],
        "rules": ["MATCH,target"],
    })
}

fn hev(mtu: u32) -> serde_json::Value {
    json!({
        "tunnel": {"name": DEVICE, "mtu": mtu, "ipv4": "198.18.0.1", "ipv6": "fd98::1"},
        "socks5": {"address": PROXY.to_string(), "port": PROXY_PORT, "udp": "udp"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_only_asked_what_it_can() {
        let engine = |how| Engine {
            name: String::new(),
            how,
        };
        let bare = engine(How::Bare(PathBuf::new()));
        let served: Vec<Load> = Load::ALL
            .into_iter()
            .filter(|load| bare.serves(*load))
            .collect();
        assert_eq!(served, [Load::Ping, Load::Pinned, Load::Datagrams]);
        let ours = engine(How::Ours(PathBuf::new()));
        assert!(Load::ALL.into_iter().all(|load| ours.serves(load)));
    }
}
