//! What a program on this machine may ask of the daemon.
//!
//! Three roles: anyone may look and sees neither server nor address; root and the
//! group `vpnm` connect and disconnect; only root lifts a lockdown.

use anyd::{Caller, Events};

use crate::{Failure, ShareLink, Status};

/// The group whose members may control the tunnel.
pub const CONTROL_GROUP: &str = "vpnm";
/// Where the daemon listens.
pub const SOCKET: &str = "/run/vpnm/vpnmd.sock";

/// The machine's tunnel.
#[anyd::service(interface = "net.vpnm.Tunnel")]
pub trait Tunnel {
    /// What the tunnel is now. Who may not control it is shown neither the
    /// server nor addresses nor particulars of failures.
    #[access(anyone)]
    async fn status(&self, caller: &Caller) -> Result<Status, TunnelError>;

    /// The status now, and again whenever it changes.
    #[access(anyone)]
    async fn watch(&self, caller: &Caller, events: Events<Status>) -> Result<(), TunnelError>;

    /// Secures the machine and connects it to the server of a share link, or to
    /// the last server. Answered when the tunnel is verified or the first attempt
    /// has failed; the machine is blocked then.
    #[access(any(root, group = "vpnm"))]
    #[audit]
    #[timeout("90s")]
    async fn connect(
        &self,
        caller: &Caller,
        link: Option<ShareLink>,
    ) -> Result<Status, TunnelError>;

    /// Takes the tunnel away and opens the machine; under lockdown it stays
    /// blocked. Answered when it is so.
    #[access(any(root, group = "vpnm"))]
    #[audit]
    #[timeout("30s")]
    async fn disconnect(&self, caller: &Caller) -> Result<Status, TunnelError>;

    /// Builds the tunnel anew, to the same server.
    #[access(any(root, group = "vpnm"))]
    #[audit]
    #[timeout("90s")]
    async fn reconnect(&self, caller: &Caller) -> Result<Status, TunnelError>;

    /// Keeps the machine blocked from now on whenever there is no tunnel.
    #[access(any(root, group = "vpnm"))]
    #[audit]
    #[timeout("30s")]
    async fn lockdown(&self, caller: &Caller) -> Result<Status, TunnelError>;

    /// Ends the lockdown; opens the machine if no tunnel is wanted.
    #[access(root)]
    #[audit]
    #[timeout("30s")]
    async fn lift_lockdown(&self, caller: &Caller) -> Result<Status, TunnelError>;
}

/// Why the daemon did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, anyd::Fault)]
#[fault(interface = "net.vpnm.Tunnel")]
pub enum TunnelError {
    /// It was tried and failed. The failure's code is stable; its hint says what
    /// to type next.
    #[fault("{failure}")]
    Failed {
        /// Why.
        failure: Failure,
    },
}

impl From<Failure> for TunnelError {
    fn from(failure: Failure) -> Self {
        Self::Failed { failure }
    }
}
