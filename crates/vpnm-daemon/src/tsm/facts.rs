//! What is known of the world.

use vpnm_api::engine::Established;
use vpnm_api::{Failure, ShareLink};

use super::effect::HostWant;
use super::holes::Holes;
use super::moment::Moment;

/// What is known of the world, by the effects that ended and the events that came.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// This host can carry a tunnel.
    pub(super) checked: bool,
    /// The host.
    pub(super) host: HostFact,
    /// Whether something got past the block when every way was tried; `None` if not
    /// every way was since the host was changed.
    pub(super) tried: Option<Result<(), Failure>>,
    /// The TUN is open in the daemon.
    pub(super) tun: bool,
    /// The TUN was taken over and traffic is led into it, as far as is known.
    pub(super) adopted: bool,
    /// The engine's process.
    pub(super) engine: EngineFact,
    /// The verified tunnel the engine holds.
    pub(super) outbound: Option<Outbound>,
}

/// What is known of the host.
#[derive(Debug, Clone, Default)]
pub(super) struct HostFact {
    /// The state that was last applied and read back; `None` if nobody knows.
    pub(super) applied: Option<HostWant>,
    /// It may have changed since.
    pub(super) stale: bool,
    /// Why it could not be brought to a state, and how often in a row.
    pub(super) failure: Option<(Failure, u32)>,
    /// No attempt before this.
    pub(super) retry_at: Option<Moment>,
    /// To be read back then, whatever happens.
    pub(super) refresh_at: Option<Moment>,
}

/// What is known of the engine's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum EngineFact {
    /// There is none.
    #[default]
    Down,
    /// It runs and has its descriptors.
    Running,
    /// It may run, and may still be busy with what is no longer wanted.
    Dirty,
}

/// A verified tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outbound {
    pub(super) server: ShareLink,
    pub(super) holes: Holes,
    pub(super) established: Established,
    /// It was lost, or is to be verified or built anew.
    pub(super) stale: bool,
    /// Connections made through it may still be alive.
    pub(super) lives: bool,
    /// Answers are late: whether it still holds is being found out.
    pub(super) suspect: bool,
}

impl Facts {
    /// Whether the host was read back as blocked, with or without a way into the tunnel.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(
            self.host.applied,
            Some(HostWant::Blocked(_) | HostWant::Tunnel(_))
        )
    }

    /// Whether the host was read back as open.
    pub(super) fn is_open(&self) -> bool {
        self.host.applied == Some(HostWant::Open)
    }

    /// Whether traffic is led into the TUN, whatever becomes of it there.
    pub(super) fn is_routed(&self) -> bool {
        let routed = matches!(self.host.applied, Some(HostWant::Tunnel(_)));
        self.tun && (routed || self.adopted)
    }

    /// Whether the host was read back in this state and nothing speaks against it.
    pub(super) fn is_applied(&self, want: &HostWant) -> bool {
        !self.host.stale && self.host.applied.as_ref() == Some(want)
    }

    /// The tunnel to this server, if it is thought to work.
    pub(super) fn tunnel_to(&self, server: Option<&ShareLink>) -> Option<&Outbound> {
        let outbound = self.outbound.as_ref()?;
        let current = !outbound.stale && Some(&outbound.server) == server;
        (current && self.engine == EngineFact::Running).then_some(outbound)
    }
}
