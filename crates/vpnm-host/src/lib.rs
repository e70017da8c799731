//! Kernel and host state: the tunnel link, its routes and rules, the packet filter.
//!
//! The only place that changes them, and always in the same five steps: a
//! [`Desired`] state is compared with what [`Host::observe`] reads, [`plan()`] lists
//! the effects that are missing, [`Host::apply`] carries them out and
//! [`Host::verify`] reads everything back. Plans are idempotent, their order is
//! fail-closed, and everything of ours is found by reserved [`names`], so that
//! [`Host::cleanup`] needs no memory of what was done.
//!
//! Everything goes over netlink; no external program is run. What is pure
//! (`Desired`, `Observed`, `Plan` and the message codecs) does no IO; sockets and
//! ioctls live in `sys`, `host` and `watch`.

pub mod accounts;
mod clock;
mod connections;
mod desired;
mod effect;
mod error;
mod firewall;
mod former;
mod host;
mod interfaces;
mod kernel;
pub mod names;
mod neighbours;
mod netlink;
mod nft;
mod observed;
mod plan;
mod resolver;
mod routing;
mod rtnl;
mod sys;
pub mod tun;
mod watch;

pub use clock::Discipline;
pub use connections::{Severance, addresses_used_by, can_sever, sever, sever_from};
pub use desired::{Addresses, Desired, Endpoint, Forwarding, Guard, Lan, Transport, Tunnel};
pub use effect::{Effect, FilterChange};
pub use error::{ApplyError, HostError, ReachError};
pub use firewall::Capabilities;
pub use host::{Foreign, Host, Point, Progress, backstop, look};
pub use kernel::KernelFacts;
pub use neighbours::forget_neighbours;
pub use observed::Observed;
pub use plan::{Plan, plan};
pub use resolver::{
    Asked, BusError, DnsModes, Keeper, LinkChange, LinkResolver, Protection, ResolvConf, Resolved,
    ResolvedError, ResolvedMode, Resolver, Settled, Surroundings, watch_resolver_files,
};
pub use rtnl::{
    Address, Family, Link, LinkName, LinkSettings, Lookup, Prefix, Route, RouteKind, Rule,
    Selector, TunFacts,
};
pub use watch::{Change, Watch};
