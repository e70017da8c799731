//! What the daemon asks of its engine, over the socket pair on descriptor 3.
//!
//! The engine answers only on that descriptor and on those it gets by
//! [`Engine::attach`]: whoever holds the other end is the daemon that started it,
//! which is why no method asks who calls.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use anyd::{Caller, Events};
use serde::{Deserialize, Serialize};

use crate::{Failure, Note, ServerName, ShareLink, Traffic, Upstream};

/// The data plane.
#[anyd::service(interface = "net.vpnm.Engine")]
pub trait Engine {
    /// Takes the TUN and begins to serve it; until `connect` succeeds flows are
    /// reset and queries answered with SERVFAIL. Once in the life of an engine.
    ///
    /// The descriptors are the TUN, then the listeners of the DNS redirect: UDP
    /// and TCP on 127.0.0.1, UDP and TCP on ::1; the last two only if the machine
    /// has IPv6. All are non-blocking.
    #[access(anyone)]
    #[fds(in = 3..=5)]
    #[timeout("10s")]
    async fn start(
        &self,
        caller: &Caller,
        config: EngineConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<(), EngineError>;

    /// Finds the addresses of a server's name over HTTPS, past the tunnel, from
    /// the resolvers of the configuration. Never in plaintext.
    #[access(anyone)]
    #[timeout("15s")]
    async fn resolve(&self, caller: &Caller, name: ServerName) -> Result<Resolved, EngineError>;

    /// Builds a tunnel to a server at one of these addresses and verifies it end
    /// to end: a query is answered through it. Only then it takes the place of
    /// the one before, at once; flows of the old one are reset.
    ///
    /// With `keep`, one that leads to the same server at the same addresses is not
    /// replaced but verified anew, by new connections; its flows live on.
    #[access(anyone)]
    #[timeout("30s")]
    async fn connect(
        &self,
        caller: &Caller,
        server: ShareLink,
        addresses: Vec<IpAddr>,
        keep: bool,
    ) -> Result<Established, EngineError>;

    /// Whom to ask for names of the local network from now on.
    #[access(anyone)]
    #[timeout("10s")]
    async fn know_local(&self, caller: &Caller, local: LocalNames) -> Result<(), EngineError>;

    /// Serves this interface on a further connection: the descriptor is one end
    /// of a socket pair. Calls on one connection are answered in order, so that
    /// `watch` needs a connection of its own.
    #[access(anyone)]
    #[fds(in = 1)]
    async fn attach(&self, caller: &Caller, fds: Vec<OwnedFd>) -> Result<(), EngineError>;

    /// Every change of the tunnel's health, and the counters about once a second
    /// while they change.
    #[access(anyone)]
    async fn watch(&self, caller: &Caller, events: Events<EngineEvent>) -> Result<(), EngineError>;
}

/// Why the engine did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, anyd::Fault)]
#[fault(interface = "net.vpnm.Engine")]
pub enum EngineError {
    /// It was tried and failed.
    #[fault("{failure}")]
    Failed {
        /// Why.
        failure: Failure,
    },
    /// `start` was not called yet.
    #[fault("the engine was not given a TUN yet")]
    NotStarted,
    /// `start` was called before.
    #[fault("the engine was given a TUN before")]
    AlreadyStarted,
    /// The descriptors are not what they should be.
    #[fault("the descriptors are not usable: {reason}")]
    Descriptors {
        /// Which, and why.
        reason: Note,
    },
}

/// What the engine needs once, together with its descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Bytes of the largest packet of the TUN as its users see it.
    pub mtu: u16,
    /// Resolvers, in order of preference; at least one.
    pub dns: Vec<Upstream>,
    /// Whom to ask for names of the local network.
    pub local: LocalNames,
}

/// Whom to ask, in the clear, for names of the local network, and which names are its.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
#[serde(deny_unknown_fields)]
pub struct LocalNames {
    /// Whether it may be asked at all.
    pub allowed: bool,
    /// Its resolvers, in order of preference; none are known if there is none. What
    /// is not open in the packet filter cannot be asked.
    pub servers: Vec<IpAddr>,
    /// Domains that belong to it beside the names reserved for local networks.
    pub domains: Vec<ServerName>,
}

/// A server's addresses, in the order in which they should be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Resolved {
    /// At least one.
    pub addresses: Vec<IpAddr>,
}

/// A tunnel that was verified end to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
pub struct Established {
    /// Milliseconds the verifying query took, there and back.
    pub latency_ms: u32,
    /// The server's address that answered.
    pub via: IpAddr,
    /// The resolver that answered the verifying query.
    pub resolver: IpAddr,
}

/// What the engine tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, anyd::Type)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, anyd::Type)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Answers come back.
    Up,
    /// Answers are late; the engine is trying another connection.
    Suspect,
    /// Nothing comes back: the outbound should be built anew.
    Down,
}
