//! What can happen to the machine, and what it answers.

use std::net::IpAddr;

use vpnm_api::engine::{Established, Health};
use vpnm_api::{Failure, Note, ShareLink};

use super::effect::Effect;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody asks for something; answered once with [`Output::Reply`].
    Command(CommandId, Command),
    /// An ordered effect has ended.
    Done(Ticket, Outcome),
    /// The engine ended without being told to.
    EngineExited(Note),
    /// The engine says how its tunnel does.
    Health(Health, Option<Failure>),
    /// The TUN was deleted by somebody.
    TunLost,
    /// Every way past the block was tried: what led out, if anything did.
    Tried(Option<Failure>),
    /// That could not be found out, or not for every way.
    Untried,
    /// The host may differ from what was applied.
    Drift(Note),
    /// There is no network below the tunnel.
    NetworkGone,
    /// Addresses or routes of the network below the tunnel are others: connections
    /// made before lead nowhere.
    NetworkChanged,
    /// The network below the tunnel is back, as it was before it went, or the machine
    /// slept: connections made before may still be alive.
    NetworkBack,
    /// The daemon is to end. The machine stays as secured as it is to be.
    Stop,
    /// Time passed.
    Timer,
}

/// What can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A tunnel to this server, or to the last one. Answered when it is verified or has failed.
    Connect(Option<ShareLink>),
    /// No tunnel. Answered when the host is open, or blocked under lockdown.
    Disconnect,
    /// The tunnel built anew. Answered like `Connect`.
    Reconnect,
    /// Whether the host is blocked while no tunnel is wanted. Answered when it is so.
    Lockdown(bool),
}

/// Identifies a command until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u64);

/// Identifies an ordered effect until it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// How an effect ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The host is as wanted; so many changes were needed, the first one named.
    Applied(u32, Note),
    /// The name's addresses; at least one.
    Resolved(Vec<IpAddr>),
    /// The tunnel is verified.
    Established(Established),
    /// It is not done.
    Failed(Failure),
}

/// What the machine wants of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Carry out an effect.
    Run(Ticket, Effect),
    /// Answer a command.
    Reply(CommandId, Result<(), Failure>),
    /// Everything that must be done before the daemon ends is done.
    Exit,
}
