//! The jail of the data plane.
//!
//! Every byte that came from the network is parsed in this process, so the process
//! is built to be worth nothing to whoever takes it over: an unprivileged uid, no
//! capability, no way to gain one, no file system, no other process, and only the
//! system calls that moving packets needs. What it keeps are the descriptors it was
//! handed (the tunnel device, the control socket, the DNS listeners) and the right
//! to open outbound sockets.
//!
//! [`enter`] is one linear function; each step is checked by reading back what the
//! kernel now says, and the first that does not hold ends the process.

mod filter;
mod syscalls;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _,
    RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::thread::CapabilitySet;

pub use filter::FilterError;
pub use syscalls::{ALLOWED, Argument, Entry, KEEPER, Use};

/// What the process may use at the most.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open descriptors: one per flow, and a few of our own.
    pub descriptors: u64,
}

impl Default for Limits {
    /// 65 536 descriptors: more flows than ports of one address pair.
    fn default() -> Self {
        Self {
            descriptors: 65_536,
        }
    }
}

/// How much of the file-system and network confinement this kernel enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Every access right known to us is taken away.
    Full,
    /// The kernel knows only some of them; the system-call filter covers the rest.
    Partial,
    /// The kernel has no Landlock; the system-call filter stands alone.
    None,
}

/// Why the process is not in its jail. It must end.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The process runs as root.
    #[error("the engine refuses to run as root; the daemon starts it as an unprivileged user")]
    Root,
    /// A capability is left in one of the sets.
    #[error("the engine was started with capabilities")]
    Capabilities,
    /// A resource limit could not be set.
    #[error("cannot limit {what}")]
    Limit {
        /// The resource.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// A process attribute could not be set or read.
    #[error("cannot {what}")]
    Attribute {
        /// The step.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// Landlock is there but refused the rule set.
    #[error("cannot take away the file system")]
    Landlock(#[from] landlock::RulesetError),
    /// The system-call filter could not be built or installed.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

/// Locks the calling process in.
///
/// To be called once, by a process with a single thread, after everything that
/// needs a file has been read. There is no way back.
///
/// # Errors
/// [`SandboxError`] naming the step that failed; the caller ends the process.
pub fn enter(limits: Limits) -> Result<Confinement, SandboxError> {
    enter_with(limits, ALLOWED)
}

/// As [`enter`], for a process that needs other system calls than the engine.
///
/// # Errors
/// As [`enter`].
pub fn enter_with(limits: Limits, allowed: &[Entry]) -> Result<Confinement, SandboxError> {
    refuse_privilege()?;
    limit_resources(limits)?;
    hide_from_other_processes()?;
    forbid_new_privileges()?;
    let confinement = take_away_the_file_system()?;
    filter::install(allowed)?;
    Ok(confinement)
}

fn refuse_privilege() -> Result<(), SandboxError> {
    let uids = [rustix::process::getuid(), rustix::process::geteuid()];
    let gids = [rustix::process::getgid(), rustix::process::getegid()];
    if uids.iter().any(|uid| uid.is_root()) || gids.iter().any(|gid| gid.is_root()) {
        return Err(SandboxError::Root);
    }
    let sets = rustix::thread::capabilities(None).map_err(|source| SandboxError::Attribute {
        what: "read the capability sets",
        source,
    })?;
    let left = sets.effective | sets.permitted | sets.inheritable;
    if left == CapabilitySet::empty() {
        Ok(())
    } else {
        Err(SandboxError::Capabilities)
    }
}

fn limit_resources(limits: Limits) -> Result<(), SandboxError> {
    let set = |what, resource, value| {
        let limit = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        rustix::process::setrlimit(resource, limit)
            .map_err(|source| SandboxError::Limit { what, source })
    };
    let hard = rustix::process::getrlimit(Resource::Nofile)
        .maximum
        .unwrap_or(limits.descriptors);
    set(
        "open descriptors",
        Resource::Nofile,
        limits.descriptors.min(hard),
    )?;
    set("core dumps", Resource::Core, 0)?;
    // No limit on the size of files: none can be opened, and the one there may be is
    // the log on standard error, whose first line would then be the process's last.
    set("processes", Resource::Nproc, 0)?;
    set("locked memory", Resource::Memlock, 0)?;
    set("message queues", Resource::Msgqueue, 0)
}

/// Not dumpable: `/proc/PID` belongs to root and no process of the same uid may trace this one.
fn hide_from_other_processes() -> Result<(), SandboxError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|source| {
        SandboxError::Attribute {
            what: "make the process undumpable",
            source,
        }
    })
}

fn forbid_new_privileges() -> Result<(), SandboxError> {
    rustix::thread::set_no_new_privs(true).map_err(|source| SandboxError::Attribute {
        what: "forbid new privileges",
        source,
    })?;
    match rustix::thread::no_new_privs() {
        Ok(true) => Ok(()),
        Ok(false) => Err(SandboxError::Attribute {
            what: "forbid new privileges",
            source: rustix::io::Errno::PERM,
        }),
        Err(source) => Err(SandboxError::Attribute {
            what: "read back no_new_privs",
            source,
        }),
    }
}

/// Handles every right and grants none: no path can be opened, no TCP port bound, no
/// abstract socket reached and no process outside signalled. Outbound TCP stays free.
fn take_away_the_file_system() -> Result<Confinement, SandboxError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Full,
        RulesetStatus::PartiallyEnforced => Confinement::Partial,
        RulesetStatus::NotEnforced => Confinement::None,
    })
}
