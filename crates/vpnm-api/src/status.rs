//! One picture of the tunnel: what it is, what was verified, what to type.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Note, Server, State, Unkept};

/// Everything the daemon says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// The state of the tunnel.
    pub state: State,
    /// What the daemon works towards; survives its death and a reboot.
    pub goal: Goal,
    /// Whether the machine stays blocked while there is no tunnel.
    pub lockdown: bool,
    /// Whether private networks on the link may be reached directly.
    pub lan: bool,
    /// Whether packets of containers, and of hosts behind this one that are served, are
    /// led into the tunnel; they are refused otherwise.
    pub forwarding: bool,
    /// The chosen server; nothing if there is none or the caller may not see it.
    pub server: Option<Server>,
    /// What went through the tunnel.
    pub traffic: Traffic,
    /// What is known to hold now.
    pub verified: Verified,
    /// Changes made by others that the daemon had to undo.
    pub repairs: Repairs,
    /// Why the packet filter would have no owner if the daemon died; absent if it would, or
    /// if there is nothing to own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unkept: Option<Unkept>,
    /// What to type next, most useful first; may be empty.
    pub hints: Vec<Note>,
}

/// What the daemon works towards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, anyd::Type)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The machine as it is without vpnm.
    Open,
    /// Nothing leaves but through the tunnel, whether there is one or not.
    Secured,
}

/// What went through the tunnel since it came up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Traffic {
    /// Bytes that came in through the tunnel.
    pub rx_bytes: u64,
    /// Bytes that went out through the tunnel.
    pub tx_bytes: u64,
    /// Flows that are open now.
    pub flows: u32,
    /// Packets of the applications' datagrams that the engine lost, since those before were
    /// not taken in time.
    pub lost: u64,
}

/// What is known to hold now. `false` also where it was not looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Verified {
    /// The target is on disk.
    pub remembered: bool,
    /// Firewall, rules and routes were read back and are as they must be.
    pub blocked: bool,
    /// The engine runs, without privileges.
    pub engine: bool,
    /// A query was answered through the tunnel, over HTTPS.
    pub answered: bool,
    /// Traffic is led into the tunnel, and this was read back.
    pub routed: bool,
    /// Every way past the block was tried since the state is what it is, and none
    /// led out.
    pub tried: bool,
    /// The resolver whose answer proved it; nothing for callers who may not see it.
    pub resolver: Option<IpAddr>,
}

/// Changes made by others that the daemon had to undo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Repairs {
    /// How many times.
    pub count: u64,
    /// What was repaired last; empty if nothing.
    pub last: Note,
    /// When it was repaired, in seconds since 1970-01-01 UTC; nothing if it never was.
    pub at: Option<u64>,
}

impl Status {
    /// The same status without what only root and the group `vpnm` may see:
    /// the server, addresses and reasons that could name them.
    #[must_use]
    pub fn redacted(self) -> Self {
        Self {
            state: self.state.redacted(),
            server: None,
            traffic: Traffic::default(),
            verified: Verified {
                resolver: None,
                ..self.verified
            },
            repairs: Repairs {
                count: self.repairs.count,
                last: Note::default(),
                at: self.repairs.at,
            },
            ..self
        }
    }

    /// A machine on which vpnm has done nothing.
    #[must_use]
    pub fn disconnected(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            state: State::Disconnected,
            goal: Goal::Open,
            lockdown: false,
            lan: false,
            forwarding: true,
            server: None,
            traffic: Traffic::default(),
            verified: Verified::default(),
            repairs: Repairs::default(),
            unkept: None,
            hints: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, Connected, Failure};

    fn connected() -> Status {
        Status {
            state: State::Connected(Connected {
                since: 1_700_000_000,
                via: Some("192.0.2.7".parse().unwrap()),
                latency_ms: 12,
            }),
            goal: Goal::Secured,
            server: Some(Server {
                name: "home".into(),
                address: "vpn.example.com:443".into(),
                kind: "vless+tcp".into(),
                confidential: false,
            }),
            traffic: Traffic {
                rx_bytes: 77,
                tx_bytes: 78,
                flows: 3,
                lost: 0,
            },
            verified: Verified {
                resolver: Some("1.1.1.1".parse().unwrap()),
                answered: true,
                ..Verified::default()
            },
            ..Status::disconnected("0.1.0")
        }
    }

    #[test]
    fn a_status_reads_back_as_written() {
        let blocked = Status {
            state: State::Blocked {
                cause: Failure::new(Code::Refused, "192.0.2.7:443"),
            },
            ..connected()
        };
        let unkept = Status {
            unkept: Some(Unkept::NoProcess),
            ..connected()
        };
        for status in [connected(), blocked, unkept, Status::disconnected("9")] {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        }
    }

    #[test]
    fn an_owner_is_spoken_of_only_where_there_is_none() {
        let json = |unkept| {
            let status = Status {
                unkept,
                ..connected()
            };
            serde_json::to_string(&status).unwrap()
        };
        assert!(!json(None).contains("unkept"));
        assert!(json(Some(Unkept::FirstProcess)).contains(r#""unkept":"first_process""#));
    }

    #[test]
    fn a_stranger_sees_no_server_and_no_address() {
        let blocked = Status {
            state: State::Blocked {
                cause: Failure::new(Code::Refused, "192.0.2.7:443"),
            },
            ..connected()
        };
        for status in [connected(), blocked] {
            let json = serde_json::to_string(&status.redacted()).unwrap();
            for secret in ["192.0.2.7", "example.com", "home", "1.1.1.1", "77"] {
                assert!(!json.contains(secret), "{secret} in {json}");
            }
        }
    }
}
