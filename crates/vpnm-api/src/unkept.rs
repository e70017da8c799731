//! Why the packet filter has no owner but the daemon.

use serde::{Deserialize, Serialize};

/// Why nobody besides the daemon holds what the packet filter belongs to: when the daemon
/// dies, others can change the filter until the next one runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, anyd::Type)]
#[serde(rename_all = "snake_case")]
pub enum Unkept {
    /// The process that is to hold it does not run.
    NoProcess,
    /// The daemon is process 1, which nothing outlives.
    FirstProcess,
    /// The service manager keeps no descriptors, and ends the process that holds it
    /// together with the daemon.
    ServiceManager,
}

impl Unkept {
    /// What follows from it, whatever the reason.
    pub const MEANING: &str =
        "if the daemon dies, others can change the packet filter until it runs again";

    /// Why, in a sentence without an end.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::NoProcess => "the process that is to hold it does not run",
            Self::FirstProcess => "nothing outlives the daemon where it is process 1",
            Self::ServiceManager => {
                "the unit has the service manager keep nothing, and end every process with the daemon"
            }
        }
    }

    /// What to type, or to do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NoProcess => {
                "the log says what hinders it, and it is tried again within 30 s: \
                 `sudo journalctl -u vpnmd`"
            }
            Self::FirstProcess => {
                "have an init that starts the daemon again be process 1 of the container"
            }
            Self::ServiceManager => {
                "take FileDescriptorStoreMax= and KillMode= out of what `systemctl cat vpnmd` \
                 shows, then: `sudo systemctl daemon-reload && sudo systemctl restart vpnmd`"
            }
        }
    }
}
