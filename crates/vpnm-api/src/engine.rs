//! What the daemon asks of its engine, over the socket pair on descriptor 3.
//!
//! The engine answers only on that descriptor: whoever holds it is the daemon
//! that started it. Descriptors go with [`EngineConfig`] in this order: the TUN,
//! then the DNS redirect's listeners, UDP and TCP on 127.0.0.1, UDP and TCP on
//! ::1 (the last two only if the machine has IPv6).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Failure, Traffic, Upstream};

/// What the engine needs once, together with its descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Bytes of the largest packet of the TUN as its users see it.
    pub mtu: u16,
    /// Resolvers, in order of preference; at least one.
    pub dns: Vec<Upstream>,
}

/// A server's addresses, in the order in which they should be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// At least one.
    pub addresses: Vec<IpAddr>,
}

/// A tunnel that was verified end to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Established {
    /// Milliseconds the verifying query took, there and back.
    pub latency_ms: u32,
    /// The server's address that answered.
    pub via: IpAddr,
    /// The resolver that answered the verifying query.
    pub resolver: IpAddr,
}

/// What the engine tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum EngineEvent {
    /// The tunnel's health changed.
    Health {
        /// What it is now.
        health: Health,
        /// Why, unless it is up.
        cause: Option<Failure>,
    },
    /// What went through so far.
    Traffic {
        /// The counters.
        traffic: Traffic,
    },
}

/// How well the tunnel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Answers come back.
    Up,
    /// Answers are late; the engine is trying another connection.
    Suspect,
    /// Nothing comes back: the outbound should be built anew.
    Down,
}
