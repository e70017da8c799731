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
    /// A chain that sees frames can be given names that no interface has yet, and sees
    /// those of one that gets such a name from the first on (Linux 6.16).
    pub absent: bool,
}

impl Capabilities {
    /// As far as any kernel goes.
    pub const ALL: Self = Self {
        ownership: true,
        holding: true,
        egress: true,
        devices: true,
        absent: true,
    };

    /// As far as Linux of this version goes, its major and its minor number.
    #[must_use]
    pub fn of_linux(major: u32, minor: u32) -> Self {
        let since = |least| (major, minor) >= least;
        Self {
            ownership: since((6, 9)),
            holding: since((5, 12)),
            egress: since((5, 16)),
            devices: since((6, 4)),
            absent: since((6, 16)),
        }
    }

    /// No further than another goes.
    pub(crate) fn at_most(self, most: Self) -> Self {
        Self {
            ownership: self.ownership && most.ownership,
            holding: self.holding && most.holding,
            egress: self.egress && most.egress,
            devices: self.devices && most.devices,
            absent: self.absent && most.absent,
        }
    }
}
