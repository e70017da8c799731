//! The chosen server as people see it: without its secrets.

use serde::{Deserialize, Serialize};
use vpnm_profile::{Profile, Protocol, Security, Transport};

use crate::Note;

/// The chosen server, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Server {
    /// The name the user gave the link; may be empty.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// Protocol, transport and security, as in `vless+websocket+tls`.
    pub kind: String,
    /// Whether nobody between this machine and the server can read the traffic.
    pub confidential: bool,
}

impl From<&Profile> for Server {
    fn from(profile: &Profile) -> Self {
        Self {
            name: Note::new(&profile.name).into(),
            address: profile.server.to_string(),
            kind: kind(profile),
            confidential: profile.is_confidential(),
        }
    }
}

fn kind(profile: &Profile) -> String {
    let protocol = match &profile.protocol {
        Protocol::Vless(_) => "vless",
        Protocol::Vmess(_) => "vmess",
    };
    let transport = match &profile.transport {
        Transport::Tcp => "+tcp",
        Transport::WebSocket(_) => "+websocket",
    };
    let security = match &profile.security {
        Security::None => "",
        Security::Tls(_) => "+tls",
    };
    format!("{protocol}{transport}{security}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_described_without_its_id() {
        let id = "0a1b2c3d-0000-4000-8000-000000000001";
        let link = format!("vless://{id}@example.com:443?security=tls&type=ws&path=%2Fray#home");
        let profile: Profile = link.parse().unwrap();
        let server = Server::from(&profile);
        assert_eq!(server.name, "home");
        assert_eq!(server.address, "example.com:443");
        assert_eq!(server.kind, "vless+websocket+tls");
        assert!(server.confidential);
        assert!(!format!("{server:?} {:?}", crate::ShareLink(profile)).contains(id));
    }

    #[test]
    fn a_name_cannot_reorder_what_is_shown() {
        let link = "vless://0a1b2c3d-0000-4000-8000-000000000001@h.test:1#a%E2%80%AEb";
        let profile: Profile = link.parse().unwrap();
        assert_eq!(Server::from(&profile).name, "a b");
    }
}
