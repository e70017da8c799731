//! Names and numbers reserved on the host, so that everything of ours is found
//! again, and removed, without any memory.

use std::ops::RangeInclusive;

/// The tunnel's network interface.
pub const LINK: &str = "vpnm0";
/// The packet filter's tables: this name in the families `inet`, `arp` and `netdev`.
pub const TABLE: &str = "vpnm";
/// The packet filter's copy that only its process can change, where [`TABLE`] can be
/// changed by others; it ends with the process.
pub const SHADOW_TABLE: &str = "vpnm-shadow";
/// The route table that holds the way into the tunnel and the backstop behind it.
pub const ROUTE_TABLE: u32 = 7670;
/// Priorities of the routing rules.
pub const RULE_PRIORITIES: RangeInclusive<u32> = 7600..=7620;
/// The originator written on routes and rules (`rtm_protocol`, `FRA_PROTOCOL`).
pub const PROTOCOL: u8 = 118;
/// The mark on packets that a server sent to the engine.
pub const REPLY_MARK: u32 = 0x0076_0000;
/// The account the engine runs under.
pub const ENGINE_USER: &str = "_vpnm";
/// The uid and gid the engine takes where that account does not exist.
pub const ENGINE_FALLBACK_ID: u32 = 7670;
/// The uid and gid from which is tried whether anything gets past the block.
pub const PROBE_ID: u32 = 7671;
/// The group whose members may control the tunnel.
pub const CONTROL_GROUP: &str = "vpnm";
