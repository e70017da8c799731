//! What can go wrong in a soak: data.
//!
//! Not among them is what no namespace has of its own: a clock that jumps, and sleep, for
//! which all that runs is stopped; nor VRF, ipvlan and netem, which not every kernel has;
//! nor a slow interface: what its queue holds of an open machine leaves when it is closed.

mod ours;
mod processes;
mod surroundings;
mod wire;

use vpnm_world::Signal;

/// One thing that somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// The data plane gets a signal.
    Engine(Signal),
    /// The control plane gets a signal; after a deadly one it stays away.
    Daemon(Signal),
    /// The control plane is started where it does not run.
    Start,
    /// The control plane may open no descriptor any more, or as many as usual.
    Descriptors {
        /// Whether it may not.
        none: bool,
    },
    /// The data plane may open no descriptor any more.
    NoEngineDescriptors,
    /// The process that keeps the packet filter is killed, where there is one.
    KillKeeper,
    /// Another keeps it, where one was killed.
    AwaitKeeper,
    /// The control plane gets no more memory than it has, if any.
    NoMemory,
    /// The control plane answers, and so owns what it set up.
    AwaitDaemon,
    /// A shell command of root on the client.
    Client(&'static str),
    /// A shell command of root on the router.
    Router(&'static str),
    /// The router advertises itself as the best way to everywhere.
    Advertise,
    /// A user of the program orders this, and waits for nothing.
    Order(&'static [&'static str]),
    /// The machine is to stay blocked when it is disconnected.
    LockDown,
    /// Root lets the machine be opened again.
    LiftLockdown,
    /// A user connects to the server, by its other address if so.
    Connect {
        /// Whether by the other address.
        other: bool,
    },
    /// A user disconnects for a moment: until the next block, all may leave.
    Open,
    /// A stranger takes all the connections to the control plane that it gives, and
    /// says half a word on each.
    Crowd,
    /// The stranger goes.
    CrowdGoes,
    /// Root's packet sockets rest until the filter knows the interface's name.
    HoldFrames,
    /// So many probes are fired in a second from now on.
    Pace(u32),
}

/// What only one fault at a time can have hold of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Claim {
    /// The control plane, and what it has stored.
    Daemon,
    /// The data plane.
    Engine,
    /// The interface, its name and addresses.
    Wire,
    /// Routes of others.
    Routes,
    /// Rules of others.
    Rules,
    /// Interfaces of others.
    Links,
    /// Resolver settings.
    Names,
    /// Settings of the kernel.
    Sysctl,
    /// The way to the server.
    Server,
    /// Connections to the control plane.
    Socket,
    /// What is set up by the program under test: never held.
    Ours,
    /// The pace of the probes: never held.
    Pace,
}

/// One thing that goes wrong, and how it is put right if it stays wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// In few words.
    pub(super) name: &'static str,
    /// What it has hold of.
    pub(super) claim: Claim,
    /// How often it happens, beside the others.
    pub(super) weight: u32,
    /// What happens.
    pub(super) begin: &'static [Deed],
    /// What ends it; nothing where it is over at once.
    pub(super) end: &'static [Deed],
}

impl Fault {
    /// Whether it goes on until it is ended.
    pub(super) fn lasts(&self) -> bool {
        !self.end.is_empty()
    }
}

/// One that is over at once.
const fn brief(claim: Claim, weight: u32, name: &'static str, begin: &'static [Deed]) -> Fault {
    lasting(claim, weight, name, begin, &[])
}

const fn lasting(
    claim: Claim,
    weight: u32,
    name: &'static str,
    begin: &'static [Deed],
    end: &'static [Deed],
) -> Fault {
    Fault {
        name,
        claim,
        weight,
        begin,
        end,
    }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Fault> + Clone {
    let parts = [
        processes::FAULTS,
        ours::FAULTS,
        wire::FAULTS,
        surroundings::FAULTS,
    ];
    parts.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_says_how_many_there_are() {
        let text = include_str!("../../../../../README.md");
        let count = all().filter(|fault| fault.claim != Claim::Pace).count();
        assert!(text.contains(&format!("lets {count} faults")), "{count}");
    }

    #[test]
    fn each_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = all().map(|fault| fault.name).collect();
        assert_eq!(names.len(), all().count());
    }
}
