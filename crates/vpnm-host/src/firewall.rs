//! The packet filter: what each desired state lets pass, as nf_tables rules.
//!
//! Allow-lists with policy drop throughout. Two things are never written, because
//! both were measured to leak: a rule that drops by `skuid` (packets of orphaned
//! sockets carry no socket and match nothing) and a rule in `output` that accepts
//! by connection state (it lets go on what was open before).

mod endpoints;
mod matching;
mod policy;
mod text;

pub(crate) use policy::{LAN_GROUPS, LAN_PREFIXES, Setting, tables};
pub(crate) use text::render;

/// How far this kernel's packet filter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Tables can be owned and outlive their owner (Linux 6.9).
    pub ownership: bool,
    /// Frames that leave past the IP stack can be filtered (Linux 5.16). Elsewhere
    /// raw sockets of root get past the filter.
    pub egress: bool,
}
