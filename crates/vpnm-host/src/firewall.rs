//! The packet filter: what each desired state lets pass, as nf_tables rules.
//!
//! Allow-lists with policy drop throughout. Two things are never written, because
//! both were measured to leak: a rule that drops by `skuid` (packets of orphaned
//! sockets carry no socket and match nothing) and a rule in `output` that accepts
//! by connection state (it lets go on what was open before).

mod capabilities;
mod chain;
mod egress;
mod endpoints;
mod forwarding;
mod incoming;
mod matching;
mod neighbours;
mod outgoing;
mod policy;
mod redirect;
mod scope;
mod setting;
mod text;

pub use capabilities::Capabilities;
pub(crate) use egress::former_of;
pub(crate) use forwarding::{mark_of, uplinks_of};
pub(crate) use policy::tables;
pub(crate) use scope::{LAN_GROUPS, LAN_PREFIXES, LINK_LOCAL_6};
pub(crate) use setting::Setting;
pub(crate) use text::render;
