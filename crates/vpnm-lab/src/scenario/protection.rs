//! What protects the client in a drill: the program under test, or something
//! to compare it with.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::json;
use vpnm_world::addresses::{CLIENT_LINK, NODE, NODE_NAME};
use vpnm_world::{Process, Signal};

use crate::guard::Guard;
use crate::machine;
use crate::programs;
use crate::session::Session;

/// What protects the client in a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// The program under test.
    Product,
    /// Its filter, rules and routes alone, with nobody behind the link.
    Rules,
    /// Nothing: to prove that the observer sees.
    Nothing,
    /// Routing rules as wg-quick sets them, with an interface in which all
    /// packets are lost.
    WgQuick,
    /// sing-box with a TUN inbound, `auto_route` and `strict_route`.
    SingBox,
}

impl fmt::Display for Protection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Product => "vpnm",
            Self::Rules => "rules alone",
            Self::Nothing => "nothing",
            Self::WgQuick => "wg-quick",
            Self::SingBox => "sing-box",
        })
    }
}

/// Where sing-box and its settings are on the client.
const SING_BOX: &str = "/run/lab/sing-box";
const SING_BOX_CONFIG: &str = "/run/lab/sing-box.json";
/// Longest start of a peer.
const PATIENCE: Duration = Duration::from_secs(20);

const WG_QUICK: &str = "ip tuntap add dev wg0 mode tun && ip link set wg0 up && \
    for f in -4 -6; do ip $f route add default dev wg0 table 51820 && \
    ip $f rule add not fwmark 51820 table 51820 && \
    ip $f rule add table main suppress_prefixlength 0 || exit 1; done";

/// A protection other than the program under test, in force.
#[derive(Debug)]
pub(super) enum Peer {
    /// The rules alone.
    Rules { _guard: Box<Guard> },
    /// Nothing.
    Nothing,
    /// Rules as wg-quick sets them.
    WgQuick,
    /// sing-box; none when it was killed.
    SingBox(Option<Process>),
}

impl Peer {
    /// Puts a protection in force; none for the program under test.
    pub(super) fn raise(protection: Protection, session: &Session) -> Result<Option<Self>> {
        Ok(Some(match protection {
            Protection::Product => return Ok(None),
            Protection::Rules => Self::Rules {
                _guard: Box::new(Guard::raise(session)?),
            },
            Protection::Nothing => Self::Nothing,
            Protection::WgQuick => {
                machine::shell(session.client(), WG_QUICK)?;
                Self::WgQuick
            }
            Protection::SingBox => {
                let program = programs::sing_box()?;
                machine::show(session.client(), &program, Path::new(SING_BOX))?;
                Self::SingBox(Some(start_sing_box(session)?))
            }
        }))
    }

    /// What carries the packets gets a signal.
    pub(super) fn signal(&mut self, session: &Session, signal: Signal) -> Result<()> {
        match self {
            // The module has no process; a kill is what takes the interface.
            Self::WgQuick if signal == Signal::KILL => {
                machine::shell(session.client(), "ip link del wg0; true").map(drop)
            }
            Self::SingBox(slot) if signal == Signal::KILL => {
                if let Some(mut process) = slot.take() {
                    process.kill()?;
                }
                Ok(())
            }
            Self::SingBox(Some(process)) => Ok(process.signal(signal)?),
            Self::SingBox(None) | Self::Rules { .. } | Self::Nothing | Self::WgQuick => Ok(()),
        }
    }

    /// What rules the host ends, asked to or not.
    pub(super) fn end(&mut self, signal: Signal) -> Result<()> {
        if let Self::SingBox(slot) = self
            && let Some(mut process) = slot.take()
        {
            process.signal(signal)?;
            process.wait()?;
        }
        Ok(())
    }

    /// What was ended is started again.
    pub(super) fn restart(&mut self, session: &Session) -> Result<()> {
        if let Self::SingBox(slot @ None) = self {
            *slot = Some(start_sing_box(session)?);
        }
        Ok(())
    }
}

fn start_sing_box(session: &Session) -> Result<Process> {
    let client = session.client();
    let config = sing_box_config(session)?;
    client.run(|| std::fs::write(SING_BOX_CONFIG, config))?;
    let process = client
        .command(SING_BOX)
        .args(["run", "--config", SING_BOX_CONFIG, "--disable-color"])
        .spawn()?;
    machine::wait_for("sing-box to carry a page", PATIENCE, || {
        Ok(session.check_tunnel().ok())
    })?;
    Ok(process)
}

fn sing_box_config(session: &Session) -> Result<String> {
    let id = session
        .link()
        .strip_prefix("vless://")
        .and_then(|rest| rest.split('@').next())
        .context("the link has no id")?;
    let config = json!({
        "log": { "disabled": true },
        "inbounds": [{
            "type": "tun", "tag": "tun", "interface_name": "sb0",
            "address": ["172.19.0.1/30", "fdfe:dcba:9876::1/126"],
            "auto_route": true, "strict_route": true, "stack": "system",
        }],
        "outbounds": [{
            "type": "vless", "tag": "node", "server": NODE.v4.to_string(), "server_port": 443,
            "uuid": id, "tls": { "enabled": true, "server_name": NODE_NAME },
            "bind_interface": CLIENT_LINK,
        }],
    });
    Ok(config.to_string())
}
