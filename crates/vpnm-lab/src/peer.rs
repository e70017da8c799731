//! An unmodified v2ray as the server, in the node's place.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use vpnm_world::addresses::{NODE, NODE_NAME};
use vpnm_world::capture::{Endpoint, Protocol as Wire};
use vpnm_world::{Identity, Process, World};

use crate::machine::{need, wait_for};

const PORT: u16 = 443;
const PATH: &str = "/ray";
const CONFIG: &str = "/run/v2ray.json";
/// Of the users that servers know.
pub const ID: &str = "0e4a4f0f-6a86-4a0e-9d0e-2f3f6f1c8a11";
/// Of nobody.
pub const WRONG_ID: &str = "0e4a4f0f-6a86-4a0e-9d0e-2f3f6f1c8a12";

/// The proxy protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// VLESS.
    Vless,
    /// VMess with AEAD headers.
    Vmess,
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A TCP stream.
    Tcp,
    /// A WebSocket.
    WebSocket,
}

/// One way to speak with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// The proxy protocol.
    pub protocol: Protocol,
    /// What carries it.
    pub transport: Transport,
    /// Whether inside TLS.
    pub tls: bool,
}

impl Variant {
    /// All combinations.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for protocol in [Protocol::Vless, Protocol::Vmess] {
            for transport in [Transport::Tcp, Transport::WebSocket] {
                for tls in [false, true] {
                    all.push(Self {
                        protocol,
                        transport,
                        tls,
                    });
                }
            }
        }
        all
    }

    /// The share link of a user with `id`.
    #[must_use]
    pub fn link(self, id: &str) -> String {
        match self.protocol {
            Protocol::Vless => self.vless_link(id),
            Protocol::Vmess => self.vmess_link(id),
        }
    }

    fn vless_link(self, id: &str) -> String {
        let security = if self.tls {
            format!("security=tls&sni={NODE_NAME}")
        } else {
            "security=none".into()
        };
        let transport = match self.transport {
            Transport::Tcp => "type=tcp".to_owned(),
            Transport::WebSocket => format!("type=ws&path=%2Fray&host={NODE_NAME}"),
        };
        format!(
            "vless://{id}@{}:{PORT}?encryption=none&{transport}&{security}#v2ray",
            NODE.v4
        )
    }

    /// The older form: base64 of a JSON object.
    fn vmess_link(self, id: &str) -> String {
        let fields = json!({
            "v": "2", "ps": "v2ray", "add": NODE.v4.to_string(), "port": PORT.to_string(),
            "id": id, "aid": "0", "scy": "auto", "net": self.network(), "type": "none",
            "host": NODE_NAME, "path": PATH,
            "tls": if self.tls { "tls" } else { "" }, "sni": NODE_NAME,
        });
        format!("vmess://{}", STANDARD.encode(fields.to_string()))
    }

    /// The name of the proxy protocol.
    #[must_use]
    pub fn protocol(self) -> &'static str {
        match self.protocol {
            Protocol::Vless => "vless",
            Protocol::Vmess => "vmess",
        }
    }

    /// The name of what protects it.
    #[must_use]
    pub fn security(self) -> &'static str {
        if self.tls { "tls" } else { "none" }
    }

    /// The name of what carries it.
    #[must_use]
    pub fn network(self) -> &'static str {
        match self.transport {
            Transport::Tcp => "tcp",
            Transport::WebSocket => "ws",
        }
    }

    /// What a capture should take for the tunnel.
    #[must_use]
    pub fn endpoints(self) -> Vec<Endpoint> {
        let address = SocketAddr::new(IpAddr::V4(NODE.v4), PORT);
        let confidential = self.tls || self.protocol == Protocol::Vmess;
        vec![Endpoint {
            address,
            protocol: Wire::Tcp,
            confidential,
        }]
    }

    fn config(self, identity: &Identity) -> Value {
        let client = match self.protocol {
            Protocol::Vless => json!({ "id": ID }),
            Protocol::Vmess => json!({ "id": ID, "alterId": 0 }),
        };
        let lines = |pem: &str| pem.lines().map(str::to_owned).collect::<Vec<_>>();
        let certificate = json!({
            "certificate": lines(identity.certificate_pem()),
            "key": lines(&identity.key_pem()),
        });
        json!({
            "log": { "loglevel": "warning" },
            "inbounds": [{
                "port": PORT,
                "protocol": self.protocol(),
                "settings": { "clients": [client], "decryption": "none" },
                "streamSettings": {
                    "network": self.network(),
                    "security": if self.tls { "tls" } else { "none" },
                    "tlsSettings": { "certificates": [certificate] },
                    "wsSettings": { "path": PATH },
                },
            }],
            "outbounds": [{ "protocol": "freedom" }],
        })
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let security = if self.tls { "+tls" } else { "" };
        write!(out, "{}+{}{security}", self.protocol(), self.network())
    }
}

/// A running v2ray on the node.
#[derive(Debug)]
pub struct V2ray {
    _process: Process,
}

impl V2ray {
    /// Starts it with a certificate of `identity` and waits until it listens.
    ///
    /// # Errors
    ///
    /// [`Skip`](crate::harness::Skip) where it is not installed.
    pub fn start(world: &World, variant: Variant, identity: &Identity) -> Result<Self> {
        need(&["v2ray"])?;
        let node = world.node();
        let config = variant.config(identity).to_string();
        node.run(|| std::fs::write(Path::new(CONFIG), &config))?;
        let mut command = node.command("v2ray").args(["-config", CONFIG]);
        if std::env::var_os("VPNM_LAB_LOG").is_none() {
            command = command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let process = command.spawn()?;
        let address = SocketAddr::new(IpAddr::V4(NODE.v4), PORT);
        wait_for("v2ray to listen", Duration::from_secs(20), || {
            Ok(node.run(|| TcpStream::connect(address)).ok().map(drop))
        })?;
        Ok(Self { _process: process })
    }
}
