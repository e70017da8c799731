//! The states of the tunnel as everybody sees them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Failure, Note};

/// The state of the tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum State {
    /// The machine is open and vpnm has changed nothing on it.
    Disconnected,
    /// The machine is blocked and a tunnel is being built.
    Connecting {
        /// What is being done.
        step: Step,
    },
    /// All traffic goes through the tunnel; verified end to end.
    Connected(Connected),
    /// The tunnel is gone; the machine stays blocked until it is back.
    Reconnecting {
        /// Why the tunnel went away, or why the last attempt failed.
        cause: Failure,
        /// Attempts since the tunnel went away, counted from 1.
        attempt: u32,
        /// Milliseconds from this status to the next attempt; 0 while one is under way.
        retry_in_ms: u64,
    },
    /// The machine is being opened.
    Disconnecting,
    /// There is no tunnel and the machine is blocked: nothing leaves it.
    Blocked {
        /// Why there is no tunnel.
        cause: Failure,
    },
    /// The machine should be blocked and could not be: traffic may leave in the clear.
    Unprotected {
        /// Why blocking failed.
        cause: Failure,
    },
}

/// What was verified when the tunnel came up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Connected {
    /// When, in seconds since 1970-01-01 UTC.
    pub since: u64,
    /// The server's address in use; nothing for callers who may not see it.
    pub via: Option<IpAddr>,
    /// Milliseconds a query took through the tunnel and back when it was verified.
    pub latency_ms: u32,
}

/// The steps of building a tunnel, in their order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, anyd::Type,
)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Looking at whether this machine can carry a tunnel; nothing is changed.
    Check,
    /// Writing down that the machine is to be secured.
    Remember,
    /// Blocking everything that is not the tunnel.
    Block,
    /// Making the tunnel's interface.
    Interface,
    /// Starting the engine.
    Engine,
    /// Resolving the server's name.
    Resolve,
    /// Connecting to the server and verifying the way there and back.
    Connect,
    /// Leading the machine's traffic into the tunnel.
    Route,
}

impl State {
    /// The name in the serialised form.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting { .. } => "connecting",
            Self::Connected(_) => "connected",
            Self::Reconnecting { .. } => "reconnecting",
            Self::Disconnecting => "disconnecting",
            Self::Blocked { .. } => "blocked",
            Self::Unprotected { .. } => "unprotected",
        }
    }

    /// Why the state is not what was asked for, if it is not.
    #[must_use]
    pub fn cause(&self) -> Option<&Failure> {
        match self {
            Self::Reconnecting { cause, .. }
            | Self::Blocked { cause }
            | Self::Unprotected { cause } => Some(cause),
            Self::Disconnected
            | Self::Connecting { .. }
            | Self::Connected(_)
            | Self::Disconnecting => None,
        }
    }

    /// Whether traffic of the user's is certain not to leave in the clear.
    #[must_use]
    pub fn is_secured(&self) -> bool {
        matches!(
            self,
            Self::Connected(_) | Self::Reconnecting { .. } | Self::Blocked { .. }
        )
    }

    /// The same state without what only some callers may see.
    pub(crate) fn redacted(self) -> Self {
        match self {
            Self::Connected(connected) => Self::Connected(Connected {
                via: None,
                ..connected
            }),
            Self::Reconnecting {
                cause,
                attempt,
                retry_in_ms,
            } => Self::Reconnecting {
                cause: without_detail(cause),
                attempt,
                retry_in_ms,
            },
            Self::Blocked { cause } => Self::Blocked {
                cause: without_detail(cause),
            },
            Self::Unprotected { cause } => Self::Unprotected {
                cause: without_detail(cause),
            },
            state @ (Self::Disconnected | Self::Connecting { .. } | Self::Disconnecting) => state,
        }
    }
}

fn without_detail(cause: Failure) -> Failure {
    Failure {
        detail: Note::default(),
        ..cause
    }
}

impl Step {
    /// What is being done, for people.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self {
            Self::Check => "checking this machine",
            Self::Remember => "writing down what is to be",
            Self::Block => "blocking everything else",
            Self::Interface => "making the interface",
            Self::Engine => "starting the engine",
            Self::Resolve => "resolving the server's name",
            Self::Connect => "connecting to the server",
            Self::Route => "leading traffic into the tunnel",
        }
    }
}
