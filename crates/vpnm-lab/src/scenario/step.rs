//! What can happen in a scenario.

use std::time::Duration;

use vpnm_world::User;

/// One happening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing but probes.
    Probe,
    /// The data plane is killed.
    KillEngine,
    /// The data plane is stopped (`SIGSTOP`).
    StopEngine,
    /// The data plane goes on (`SIGCONT`).
    ContinueEngine,
    /// The control plane is killed; the data plane ends with it.
    KillDaemon,
    /// The control plane is started again.
    StartDaemon,
    /// The control plane is asked to end (`SIGTERM`), and does.
    EndDaemon,
    /// The control plane is stopped (`SIGSTOP`).
    StopDaemon,
    /// The control plane goes on (`SIGCONT`).
    ContinueDaemon,
    /// The boot unit blocks, and nothing else runs.
    BlockAtBoot,
    /// The program's file is replaced by another of the same content.
    Replace,
    /// The server is known by its name from now on, which must be looked up.
    ByName,
    /// The user connects to the server's other address, and then back.
    Switch,
    /// The proxy server ends: connections to it are refused.
    EndNode,
    /// Nothing reaches the server any more, though its name still says where it was.
    LoseServer,
    /// The server is at its other address from now on, or back, and nowhere else; its
    /// name says so.
    MoveServer {
        /// Whether to its other address.
        other: bool,
    },
    /// Users in and out of group `vpnm`, and root, fetch an update by name and by
    /// address: it comes, or nobody gets it.
    Fetch {
        /// Whether it comes.
        comes: bool,
    },
    /// A user gives the program under test this order, and it is carried out.
    Order(User, &'static [&'static str]),
    /// A shell command of root on the client.
    Client(&'static str),
    /// A shell command of root on the router.
    Router(&'static str),
    /// Daemons of Debian are there on the client from now on, with a message
    /// bus; the state of the host is that with them.
    Programs,
    /// As `Programs`, on the router.
    RouterPrograms,
    /// systemd-resolved answers on the client from now on, and asks the LAN for
    /// every name.
    Resolved,
    /// It ends and starts anew.
    RestartResolved,
    /// NetworkManager writes the client's `resolv.conf` from now on.
    NetworkManager,
    /// A shell command of root on the client that goes on until
    /// [`Step::EndPrograms`].
    Start(&'static str),
    /// As `Start`, on the router.
    StartRouter(&'static str),
    /// Everything started ends.
    EndPrograms,
    /// The control plane dies at every place it can die at, each time coming
    /// back to a kernel without its rules and routes.
    Crash,
    /// Routes lead to the LAN's other device from now on, which may be asked for.
    OtherGateway,
    /// The router advertises itself as the best way to everywhere.
    Advertise,
    /// Time passes.
    Wait(Duration),
    /// One of these states comes about.
    Expect(&'static [&'static str]),
    /// The machine's own check tries the interface, and finds nothing that leaves.
    Check,
    /// Programs open connections, and fill them with what nobody reads.
    OpenFlows,
    /// Programs write into the connections they have.
    WriteFlows,
    /// Programs end and leave what they had written behind.
    DropFlows,
}

impl Step {
    /// Whether programs send something of their own accord from then on.
    pub(super) fn starts_senders(&self) -> bool {
        matches!(
            self,
            Self::OpenFlows
                | Self::Resolved
                | Self::NetworkManager
                | Self::Programs
                | Self::Start(_)
        )
    }
}
