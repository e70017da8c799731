//! What is measured.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A quantity, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Metric {
    Up,
    Down,
    Up8,
    Down8,
    UpCost,
    DownCost,
    CarriedUp,
    CarriedDown,
    CarriedUpCost,
    CarriedDownCost,
    RecordsUp,
    RecordsDown,
    RecordsUpCost,
    RecordsDownCost,
    VmessUp,
    VmessUpCost,
    UpForwarded,
    UpLossy,
    Ping50,
    Ping99,
    PinnedPing50,
    PinnedPing99,
    BesideUp50,
    BesideUp99,
    BesideDown50,
    BesideDown99,
    Connections,
    Connection99,
    Stuck,
    OneAtATime,
    SmallCostUp,
    SmallCostDown,
    LargeCostUp,
    LargeCostDown,
    DelayUp50,
    DelayUp99,
    DelayDown50,
    DelayDown99,
    SmallLostUp,
    SmallLostDown,
    LargeLostUp,
    LargeLostDown,
    JoinedCostUp,
    JoinedCostDown,
    JoinedLostUp,
    JoinedLostDown,
    NewFlows,
    OpenFlows,
    Idle,
    PerConnection,
    AfterClosing,
    WakeUps,
    ManyServed,
    ManyAfter,
    ManyDescriptors,
    FloodMemory,
    FloodServed,
    FloodConnections,
}

/// A group of metrics that one load yields; what `--only` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Load {
    Bulk,
    Records,
    Forwarded,
    Ping,
    Pinned,
    Beside,
    Connections,
    Datagrams,
    Flows,
    Memory,
    Many,
    Flood,
}

impl Load {
    /// All, in the order they are run: what leaves the engine's memory as it was first.
    pub(crate) const ALL: [Self; 12] = [
        Self::Memory,
        Self::Bulk,
        Self::Records,
        Self::Forwarded,
        Self::Ping,
        Self::Pinned,
        Self::Beside,
        Self::Connections,
        Self::Datagrams,
        Self::Flows,
        Self::Many,
        Self::Flood,
    ];

    /// The load of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|load| load.to_string() == name)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bulk => "bulk",
            Self::Records => "records",
            Self::Forwarded => "forwarded",
            Self::Ping => "ping",
            Self::Pinned => "pinned",
            Self::Beside => "beside",
            Self::Connections => "connections",
            Self::Datagrams => "datagrams",
            Self::Flows => "flows",
            Self::Memory => "memory",
            Self::Many => "many",
            Self::Flood => "flood",
        })
    }
}

impl Metric {
    /// The name in words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Up => "TCP up, 1 flow",
            Self::Down => "TCP down, 1 flow",
            Self::Up8 => "TCP up, 8 flows",
            Self::Down8 => "TCP down, 8 flows",
            Self::UpCost => "engine CPU, up",
            Self::DownCost => "engine CPU, down",
            Self::CarriedUp => "TCP up, through VLESS",
            Self::CarriedDown => "TCP down, through VLESS",
            Self::CarriedUpCost => "engine CPU, up, through VLESS",
            Self::CarriedDownCost => "engine CPU, down, through VLESS",
            Self::RecordsUp => "TCP up, AES-128-GCM records",
            Self::RecordsDown => "TCP down, AES-128-GCM records",
            Self::RecordsUpCost => "engine CPU, up, AES-128-GCM records",
            Self::RecordsDownCost => "engine CPU, down, AES-128-GCM records",
            Self::VmessUp => "TCP up, through VMess, AES-128-GCM",
            Self::VmessUpCost => "engine CPU, up, through VMess, AES-128-GCM",
            Self::UpForwarded => "TCP up, forwarded, TSO off",
            Self::UpLossy => "TCP up, forwarded, 1 of 1 000 lost",
            Self::Ping50 => "ping-pong p50",
            Self::Ping99 => "ping-pong p99",
            Self::PinnedPing50 => "ping-pong p50, one CPU",
            Self::PinnedPing99 => "ping-pong p99, one CPU",
            Self::BesideUp50 => "ping-pong p50 beside 8 flows up",
            Self::BesideUp99 => "ping-pong p99 beside 8 flows up",
            Self::BesideDown50 => "ping-pong p50 beside 8 flows down",
            Self::BesideDown99 => "ping-pong p99 beside 8 flows down",
            Self::Connections => "connections, 32 at a time",
            Self::Connection99 => "connection p99",
            Self::Stuck => "connections stuck",
            Self::OneAtATime => "connections, one at a time",
            Self::SmallCostUp => "UDP 64 B up, 20 k/s: CPU",
            Self::SmallCostDown => "UDP 64 B down, 20 k/s: CPU",
            Self::LargeCostUp => "UDP 1200 B up, 20 k/s: CPU",
            Self::LargeCostDown => "UDP 1200 B down, 20 k/s: CPU",
            Self::DelayUp50 => "UDP 1200 B up, 20 k/s: delay p50",
            Self::DelayUp99 => "UDP 1200 B up, 20 k/s: delay p99",
            Self::DelayDown50 => "UDP 1200 B down, 20 k/s: delay p50",
            Self::DelayDown99 => "UDP 1200 B down, 20 k/s: delay p99",
            Self::SmallLostUp => "UDP 64 B up, 200 k/s: lost",
            Self::SmallLostDown => "UDP 64 B down, 200 k/s: lost",
            Self::LargeLostUp => "UDP 1200 B up, 200 k/s: lost",
            Self::LargeLostDown => "UDP 1200 B down, 200 k/s: lost",
            Self::JoinedCostUp => "UDP 1200 B up, joined, 500 k/s: CPU",
            Self::JoinedCostDown => "UDP 1200 B down, joined, 500 k/s: CPU",
            Self::JoinedLostUp => "UDP 1200 B up, joined, 500 k/s: lost",
            Self::JoinedLostDown => "UDP 1200 B down, joined, 500 k/s: lost",
            Self::NewFlows => "new UDP flows",
            Self::OpenFlows => "UDP flows alive of 16 000 open",
            Self::Idle => "memory, idle",
            Self::PerConnection => "memory, an idle connection",
            Self::AfterClosing => "memory, 5 s after closing 1 000",
            Self::WakeUps => "wake-ups while idle",
            Self::ManyServed => "100 000 short connections: served",
            Self::ManyAfter => "memory, 5 s after 100 000",
            Self::ManyDescriptors => "descriptors left of 100 000",
            Self::FloodMemory => "memory under 1 000 000 SYNs",
            Self::FloodServed => "wait for service after them",
            Self::FloodConnections => "connections, 8 at a time, beside 100 000 SYNs/s",
        }
    }

    /// The unit, empty for a mere count.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Up
            | Self::Down
            | Self::Up8
            | Self::Down8
            | Self::CarriedUp
            | Self::CarriedDown
            | Self::RecordsUp
            | Self::RecordsDown
            | Self::VmessUp
            | Self::UpForwarded
            | Self::UpLossy => "Gbit/s",
            Self::UpCost
            | Self::DownCost
            | Self::CarriedUpCost
            | Self::CarriedDownCost
            | Self::RecordsUpCost
            | Self::RecordsDownCost
            | Self::VmessUpCost => "s/GB",
            Self::Ping50
            | Self::Ping99
            | Self::PinnedPing50
            | Self::PinnedPing99
            | Self::DelayUp50
            | Self::DelayUp99
            | Self::DelayDown50
            | Self::DelayDown99 => "us",
            Self::Connection99
            | Self::BesideUp50
            | Self::BesideUp99
            | Self::BesideDown50
            | Self::BesideDown99 => "ms",
            Self::Connections
            | Self::OneAtATime
            | Self::NewFlows
            | Self::WakeUps
            | Self::FloodConnections => "1/s",
            Self::Stuck | Self::OpenFlows | Self::ManyServed | Self::ManyDescriptors => "",
            Self::SmallCostUp
            | Self::SmallCostDown
            | Self::LargeCostUp
            | Self::LargeCostDown
            | Self::JoinedCostUp
            | Self::JoinedCostDown => "us each",
            Self::SmallLostUp
            | Self::SmallLostDown
            | Self::LargeLostUp
            | Self::LargeLostDown
            | Self::JoinedLostUp
            | Self::JoinedLostDown => "%",
            Self::Idle | Self::FloodMemory => "MiB",
            Self::FloodServed => "s",
            Self::PerConnection => "KiB",
            Self::AfterClosing | Self::ManyAfter => "of before",
        }
    }

    /// Whether more is better.
    pub(crate) fn more_is_better(self) -> bool {
        self.unit() == "Gbit/s"
            || matches!(
                self,
                Self::Connections
                    | Self::OneAtATime
                    | Self::FloodConnections
                    | Self::NewFlows
                    | Self::OpenFlows
                    | Self::ManyServed
            )
    }

    /// The load it is measured under.
    pub(crate) fn load(self) -> Load {
        match self {
            Self::Up | Self::Down | Self::Up8 | Self::Down8 | Self::UpCost | Self::DownCost => {
                Load::Bulk
            }
            Self::CarriedUp
            | Self::CarriedDown
            | Self::CarriedUpCost
            | Self::CarriedDownCost
            | Self::RecordsUp
            | Self::RecordsDown
            | Self::RecordsUpCost
            | Self::RecordsDownCost
            | Self::VmessUp
            | Self::VmessUpCost => Load::Records,
            Self::UpForwarded | Self::UpLossy => Load::Forwarded,
            Self::ManyServed | Self::ManyAfter | Self::ManyDescriptors => Load::Many,
            Self::FloodMemory | Self::FloodServed | Self::FloodConnections => Load::Flood,
            Self::Ping50 | Self::Ping99 => Load::Ping,
            Self::PinnedPing50 | Self::PinnedPing99 => Load::Pinned,
            Self::BesideUp50 | Self::BesideUp99 | Self::BesideDown50 | Self::BesideDown99 => {
                Load::Beside
            }
            Self::Connections | Self::Connection99 | Self::Stuck | Self::OneAtATime => {
                Load::Connections
            }
            Self::SmallCostUp
            | Self::SmallCostDown
            | Self::LargeCostUp
            | Self::LargeCostDown
            | Self::DelayUp50
            | Self::DelayUp99
            | Self::DelayDown50
            | Self::DelayDown99
            | Self::SmallLostUp
            | Self::SmallLostDown
            | Self::LargeLostUp
            | Self::LargeLostDown
            | Self::JoinedCostUp
            | Self::JoinedCostDown
            | Self::JoinedLostUp
            | Self::JoinedLostDown => Load::Datagrams,
            Self::NewFlows | Self::OpenFlows => Load::Flows,
            Self::Idle | Self::PerConnection | Self::AfterClosing | Self::WakeUps => Load::Memory,
        }
    }
}
