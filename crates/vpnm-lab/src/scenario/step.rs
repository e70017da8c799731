//! What can happen in a scenario.

use std::time::Duration;

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
    /// The server is known by its name from now on, which must be looked up.
    ByName,
    /// The user connects to the server's other address, and then back.
    Switch,
    /// The proxy server ends: connections to it are refused.
    EndNode,
    /// A shell command of root on the client.
    Client(&'static str),
    /// A shell command of root on the router.
    Router(&'static str),
    /// Routes lead to the LAN's other device from now on, which may be asked for.
    OtherGateway,
    /// The router advertises itself as the best way to everywhere.
    Advertise,
    /// Time passes.
    Wait(Duration),
    /// One of these states comes about.
    Expect(&'static [&'static str]),
    /// Programs open connections, and fill them with what nobody reads.
    OpenFlows,
    /// Programs write into the connections they have.
    WriteFlows,
    /// Programs end and leave what they had written behind.
    DropFlows,
}
