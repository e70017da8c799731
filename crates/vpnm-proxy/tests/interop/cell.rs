//! The cells of the matrix: a protocol over a transport.

use std::fmt;

use crate::authority::NAME;

/// The user that every peer knows.
pub(crate) const USER: &str = "7d3f1c62-8d5e-4b1a-9c0f-2b6a5e4d3c21";
/// A user that none knows.
pub(crate) const NOBODY: &str = "00000000-1111-4222-8333-444444444444";
/// The path of every WebSocket.
pub(crate) const PATH: &str = "/tunnel";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Vless,
    Vmess(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Ws,
    WsEarlyHeader,
    WsEarlyPath,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) protocol: Protocol,
    pub(crate) transport: Transport,
    pub(crate) tls: bool,
}

impl Cell {
    pub(crate) fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for protocol in [Protocol::Vless, Protocol::Vmess("auto")] {
            for tls in [false, true] {
                for transport in [
                    Transport::Tcp,
                    Transport::Ws,
                    Transport::WsEarlyHeader,
                    Transport::WsEarlyPath,
                ] {
                    cells.push(Self {
                        protocol,
                        transport,
                        tls,
                    });
                }
            }
        }
        for cipher in ["aes-128-gcm", "chacha20-poly1305", "none", "zero"] {
            cells.push(Self {
                protocol: Protocol::Vmess(cipher),
                transport: Transport::Tcp,
                tls: false,
            });
        }
        cells
    }

    pub(crate) fn is_ws(&self) -> bool {
        self.transport != Transport::Tcp
    }

    /// The link of this cell at a port of this machine.
    pub(crate) fn link(&self, port: u16, user: &str) -> String {
        self.link_with(port, user, PATH, NAME)
    }

    pub(crate) fn link_with(&self, port: u16, user: &str, path: &str, name: &str) -> String {
        let (scheme, encryption) = match self.protocol {
            Protocol::Vless => ("vless", "none"),
            Protocol::Vmess(cipher) => ("vmess", cipher),
        };
        let transport = match self.transport {
            Transport::Tcp => "&type=tcp".to_owned(),
            Transport::Ws => format!("&type=ws&path={path}"),
            Transport::WsEarlyHeader => format!("&type=ws&path={path}%3Fed%3D2048"),
            Transport::WsEarlyPath => format!("&type=ws&path={path}/%3Fed%3D2048%26eh%3D"),
        };
        let security = if self.tls {
            format!("&security=tls&sni={name}")
        } else {
            "&security=none".to_owned()
        };
        format!("{scheme}://{user}@127.0.0.1:{port}?encryption={encryption}{transport}{security}")
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Vless => "vless".to_owned(),
            Protocol::Vmess(cipher) => format!("vmess {cipher}"),
        };
        let transport = match (self.transport, self.tls) {
            (Transport::Tcp, false) => "tcp",
            (Transport::Tcp, true) => "tls",
            (Transport::Ws, false) => "ws",
            (Transport::Ws, true) => "ws+tls",
            (Transport::WsEarlyHeader, false) => "ws+early(header)",
            (Transport::WsEarlyHeader, true) => "ws+early(header)+tls",
            (Transport::WsEarlyPath, false) => "ws+early(path)",
            (Transport::WsEarlyPath, true) => "ws+early(path)+tls",
        };
        f.pad(&format!("{protocol} {transport}"))
    }
}
