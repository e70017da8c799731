//! Small worlds of network namespaces.
//!
//! A [`World`] is a client, its router, an internet and a proxy node, each in
//! network and mount namespaces of its own, joined by virtual cables. Nothing
//! of the machine is changed and nothing is left behind: namespaces are known
//! by descriptor only and end with the process. `vpnm demo` shows a session in
//! one; the lab proves in hundreds of them that no packet leaves outside the
//! tunnel.

pub mod addresses;
mod authority;
pub mod capture;
pub mod delivery;
mod files;
mod host;
pub mod internet;
pub mod links;
mod mark;
mod namespace;
mod netlink;
mod place;
pub mod privilege;
pub mod probe;
mod process;
mod snapshot;
mod sys;
mod user;
mod visitor;
mod world;

pub use authority::{Authority, Identity};
pub use host::Host;
pub use mark::PROBE_PORTS;
pub use process::{Command, Process};
pub use rustix::process::Signal;
pub use snapshot::Snapshot;
pub use user::User;
pub use visitor::{Transfer, Visitor};
pub use world::{World, WorldError};
