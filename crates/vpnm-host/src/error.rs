//! Why the host could not be read or changed.

use std::io;

/// A failure of the kernel's interfaces, with what was being done.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The process lacks CAP_NET_ADMIN in the owner of its network namespace.
    #[error("no permission to {action}: this needs root (CAP_NET_ADMIN)")]
    NotPermitted {
        /// What was being done.
        action: &'static str,
    },
    /// Another process that is still running holds the packet filter's tables.
    #[error("another running process owns the packet filter tables named {table}")]
    Owned {
        /// The table.
        table: &'static str,
    },
    /// What was kept of a daemon that has ended is no socket to this packet filter.
    #[error("what was kept is no socket to the packet filter of this network")]
    Unfit,
    /// The kernel refused a request.
    #[error("the kernel refused to {action}{}", detail.as_deref().map(|d| format!(" ({d})")).unwrap_or_default())]
    Refused {
        /// What was being done.
        action: &'static str,
        /// The kernel's own words, where it gave any.
        detail: Option<String>,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// A netlink answer that does not follow the kernel's own format.
    #[error("the kernel's answer to {action} cannot be understood")]
    Malformed {
        /// What was being done.
        action: &'static str,
    },
    /// The tunnel link does not exist, so it cannot be configured.
    #[error("the link vpnm0 does not exist")]
    NoLink,
    /// A link named vpnm0 exists that is not ours.
    #[error("a network interface named vpnm0 exists that vpnm did not create: {why}")]
    ForeignLink {
        /// What about it is not ours.
        why: &'static str,
    },
    /// Every address kept for the tunnel link collides with a network of this host.
    #[error("every address range kept for the tunnel is in use on this host")]
    AddressesTaken,
}

/// Why a plan was not carried out to its end; what was done before stays done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The caller's fail point said stop.
    #[error("stopped {at}")]
    Stopped {
        /// Where.
        at: String,
    },
    /// An effect failed.
    #[error("cannot apply: {effect}")]
    Effect {
        /// The effect, as the plan shows it.
        effect: String,
        /// Why.
        #[source]
        source: HostError,
    },
}

/// Why the host is not known to be in the desired state.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    /// The host could not be read.
    #[error("cannot observe the host")]
    Observe(#[source] HostError),
    /// There is no way from here to there.
    #[error(transparent)]
    Plan(HostError),
    /// The plan could not be carried out.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Everything was applied and the host still differs.
    #[error("the host differs from what was applied: {drift}")]
    Drift {
        /// The plan that is still needed, one line for each effect.
        drift: String,
    },
}
