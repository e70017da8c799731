//! What went wrong: a stable code, a reason, and what the user can type next.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Note;

/// Why there is no tunnel, or why one cannot be trusted.
///
/// Its text says what happened and why, its hint what to type next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, anyd::Type)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The kind of failure; scripts may rely on it.
    pub code: Code,
    /// Particulars for people: a server's answer, a kernel's error. May be empty.
    #[serde(default, skip_serializing_if = "Note::is_empty")]
    pub detail: Note,
}

/// The kinds of failure. A name is never given a second meaning.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, anyd::Type,
)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The machine has no route to the internet.
    NoNetwork,
    /// The server's name has no address.
    NameNotFound,
    /// The server's address cannot be reached.
    Unreachable,
    /// Nothing listens on the server's port.
    Refused,
    /// The server did not answer in time.
    TimedOut,
    /// The server's certificate is not valid for the name.
    Certificate,
    /// The TLS handshake failed for another reason.
    Tls,
    /// The server refused the WebSocket upgrade.
    WebSocket,
    /// The server closed the connection without an answer, as it does for an unknown id.
    Rejected,
    /// The server spoke another protocol than the profile says.
    Protocol,
    /// The server took the connection, but nothing came back through the tunnel.
    NoAnswer,
    /// The profile asks for something this version cannot do.
    Unsupported,
    /// The network below the tunnel changed.
    NetworkChanged,
    /// The kernel offers no TUN device.
    NoTunDevice,
    /// An interface, table or rule with a reserved name belongs to someone else.
    Foreign,
    /// The daemon may not change the network.
    NotPermitted,
    /// The kernel refused a change of routes, rules or firewall.
    Host,
    /// Something left this machine past the tunnel.
    LeakDetected,
    /// The engine could not be started.
    EngineStart,
    /// The engine ended unexpectedly.
    EngineLost,
    /// What was remembered cannot be read.
    JournalUnreadable,
    /// What must be remembered cannot be written.
    JournalWrite,
    /// The settings cannot be read.
    Settings,
    /// The user wants the machine blocked while there is no tunnel.
    Lockdown,
    /// The target is a secured machine, but no server was chosen.
    NoServer,
    /// Another command took the place of this one.
    Superseded,
    /// The daemon is stopping.
    Stopping,
}

impl Failure {
    /// A failure with particulars.
    pub fn new(code: Code, detail: impl Into<Note>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    /// What the user can type or do so that there is a tunnel; one short sentence.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        self.code.hint()
    }

    /// Whether the same attempt may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code.is_transient()
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self {
            code,
            detail: Note::default(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.what())?;
        if self.detail.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Failure {}

impl Code {
    /// Every code, in the order of their declaration.
    pub const ALL: [Self; 27] = [
        Self::NoNetwork,
        Self::NameNotFound,
        Self::Unreachable,
        Self::Refused,
        Self::TimedOut,
        Self::Certificate,
        Self::Tls,
        Self::WebSocket,
        Self::Rejected,
        Self::Protocol,
        Self::NoAnswer,
        Self::Unsupported,
        Self::NetworkChanged,
        Self::NoTunDevice,
        Self::Foreign,
        Self::NotPermitted,
        Self::Host,
        Self::LeakDetected,
        Self::EngineStart,
        Self::EngineLost,
        Self::JournalUnreadable,
        Self::JournalWrite,
        Self::Settings,
        Self::Lockdown,
        Self::NoServer,
        Self::Superseded,
        Self::Stopping,
    ];

    /// The name in the serialised form.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNetwork => "no_network",
            Self::NameNotFound => "name_not_found",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Certificate => "certificate",
            Self::Tls => "tls",
            Self::WebSocket => "web_socket",
            Self::Rejected => "rejected",
            Self::Protocol => "protocol",
            Self::NoAnswer => "no_answer",
            Self::Unsupported => "unsupported",
            Self::NetworkChanged => "network_changed",
            Self::NoTunDevice => "no_tun_device",
            Self::Foreign => "foreign",
            Self::NotPermitted => "not_permitted",
            Self::Host => "host",
            Self::LeakDetected => "leak_detected",
            Self::EngineStart => "engine_start",
            Self::EngineLost => "engine_lost",
            Self::JournalUnreadable => "journal_unreadable",
            Self::JournalWrite => "journal_write",
            Self::Settings => "settings",
            Self::Lockdown => "lockdown",
            Self::NoServer => "no_server",
            Self::Superseded => "superseded",
            Self::Stopping => "stopping",
        }
    }

    /// What happened, without particulars.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::NoNetwork => "this machine has no network",
            Self::NameNotFound => "the server's name has no address",
            Self::Unreachable => "the server cannot be reached",
            Self::Refused => "the server refused the connection, nothing listens on that port",
            Self::TimedOut => "the server did not answer in time",
            Self::Certificate => "the server's certificate is not valid",
            Self::Tls => "the TLS handshake with the server failed",
            Self::WebSocket => "the server refused the WebSocket upgrade",
            Self::Rejected => "the server closed the connection without an answer",
            Self::Protocol => "the server speaks another protocol than the link says",
            Self::NoAnswer => "the server took the connection, but nothing came back through it",
            Self::Unsupported => "the link asks for something this version cannot do",
            Self::NetworkChanged => "the network below the tunnel changed",
            Self::NoTunDevice => "this kernel offers no TUN device",
            Self::Foreign => "a name that vpnm needs is used by another program",
            Self::NotPermitted => "the daemon may not change the network",
            Self::Host => "the kernel refused a change of the network",
            Self::LeakDetected => "something left this machine past the tunnel",
            Self::EngineStart => "the engine could not be started",
            Self::EngineLost => "the engine ended unexpectedly",
            Self::JournalUnreadable => "what the daemon remembered cannot be read",
            Self::JournalWrite => "the daemon cannot write down what it must remember",
            Self::Settings => "the settings cannot be read",
            Self::Lockdown => "lockdown is on and there is no tunnel",
            Self::NoServer => "no server was chosen",
            Self::Superseded => "another command took the place of this one",
            Self::Stopping => "the daemon is stopping",
        }
    }

    /// What the user can type or do so that there is a tunnel. How to open the network
    /// instead depends on the machine: see [`Status::hints`](crate::Status::hints).
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoNetwork | Self::NetworkChanged => {
                "nothing to type: vpnm connects again when the network is back"
            }
            Self::NameNotFound => "check the host in the link, then `vpnm connect LINK`",
            Self::Unreachable | Self::TimedOut => {
                "check that the server is up, then `vpnm connect`"
            }
            Self::Refused => {
                "check the port in the link and that the server runs, then `vpnm connect`"
            }
            Self::Certificate => {
                "check `sni=` in the link, the server's certificate and this machine's clock, then `vpnm connect`"
            }
            Self::Tls => {
                "check `security=`, `sni=` and `alpn=` in the link, then `vpnm connect LINK`"
            }
            Self::WebSocket => "check `path=` and `host=` in the link, then `vpnm connect LINK`",
            Self::Rejected => {
                "check the id in the link and this machine's clock, then `vpnm connect LINK`"
            }
            Self::Protocol => "check `type=` and `security=` in the link, then `vpnm connect LINK`",
            Self::NoAnswer => {
                "check that the server itself reaches the internet, then `vpnm connect`"
            }
            Self::Unsupported => "use another link: `vpnm connect LINK`",
            Self::NoTunDevice => "type `modprobe tun` as root, then `vpnm connect`",
            Self::Foreign => "stop the other program or delete what it made, then `vpnm connect`",
            Self::NotPermitted => "start the daemon as root: `systemctl restart vpnmd`",
            Self::Host => {
                "type `vpnm connect` to try again; `journalctl -u vpnmd` shows what the kernel said"
            }
            Self::LeakDetected => {
                "disconnect the network; type `sudo vpnm check` to see what leaves and `vpnm doctor` for who else changes the firewall"
            }
            Self::EngineStart => {
                "type `journalctl -u vpnmd` to see why; `vpnm connect` tries again"
            }
            Self::EngineLost => {
                "the daemon starts another, or does when you type `vpnm connect`; `journalctl -u vpnmd` shows why it ended"
            }
            Self::JournalUnreadable => "type `vpnm connect LINK`",
            Self::JournalWrite => "make room in /var/lib/vpnm, then type the same command again",
            Self::Settings => "correct the file in /etc/vpnm, then `vpnm connect`",
            Self::Lockdown => "type `vpnm connect`",
            Self::NoServer => "type `vpnm connect LINK`",
            Self::Superseded => "type `vpnm status` to see what is going on",
            Self::Stopping => "type `systemctl start vpnmd`, then the command again",
        }
    }

    /// Whether the same attempt may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::NoNetwork
                | Self::NameNotFound
                | Self::Unreachable
                | Self::Refused
                | Self::TimedOut
                | Self::NoAnswer
                | Self::NetworkChanged
                | Self::EngineLost
                | Self::EngineStart
                | Self::Host
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialised_name_is_the_name() {
        for code in Code::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.name()));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
        }
    }

    #[test]
    fn every_code_says_what_happened_and_what_to_do() {
        for code in Code::ALL {
            assert!(code.what().len() > 15, "{}", code.name());
            assert!(!code.what().ends_with('.'), "{}", code.name());
            assert!(code.hint().contains(' '), "{}", code.name());
        }
    }

    #[test]
    fn a_failure_names_its_particulars() {
        let failure = Failure::new(Code::Certificate, "not valid for example.com");
        assert_eq!(
            failure.to_string(),
            "the server's certificate is not valid: not valid for example.com"
        );
        assert_eq!(
            Failure::from(Code::Lockdown).to_string(),
            "lockdown is on and there is no tunnel"
        );
    }
}
