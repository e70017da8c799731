//! How far the kernel's packet filter goes.

/// How far this kernel's packet filter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Tables can be owned and outlive their owner (Linux 6.9).
    pub ownership: bool,
    /// Tables can be owned, if only as long as their owner lives (Linux 5.12).
    pub holding: bool,
    /// Frames that leave past the IP stack can be filtered (Linux 5.16). Elsewhere
    /// raw sockets of root get past the filter.
    pub egress: bool,
    /// A chain that sees frames can be given other interfaces (Linux 6.4). Elsewhere
    /// another takes its place.
    pub devices: bool,
}
