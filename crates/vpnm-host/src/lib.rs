//! Kernel and host state: the tunnel link, its routes and rules, the packet filter.
//!
//! The only place that changes them, and always in the same five steps: a
//! [`Desired`] state is compared with what [`Host::observe`] reads, [`plan`] lists
//! the effects that are missing, [`Host::apply`] carries them out and
//! [`Host::verify`] reads everything back. Plans are idempotent, their order is
//! fail-closed, and everything of ours is found by reserved [`names`], so that
//! [`Host::cleanup`] needs no memory of what was done.
//!
//! Everything goes over netlink; no external program is run. What is pure
//! (`Desired`, `Observed`, `Plan` and the message codecs) does no IO; sockets and
//! ioctls live in `sys`, `host` and `watch`.

pub mod accounts;
mod desired;
mod error;
mod host;
pub mod names;
mod observed;
mod plan;
mod sys;
pub mod tun;
mod watch;

pub use desired::{Addresses, Desired, Endpoint, Guard, Lan, Transport, Tunnel};
pub use error::{ApplyError, HostError, ReachError};
pub use host::{Host, Point, Progress};
pub use observed::Observed;
pub use plan::{Effect, Plan, plan};
pub use watch::{Change, Watch};
