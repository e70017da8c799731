//! Who holds the packet filter's socket when the daemon is dead.
//!
//! The tables belong to that socket (on kernels that know owners): as long as anybody
//! has it open, nobody else can flush them. A daemon that starts goes on with the very
//! same socket, so that there is no moment without an owner.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyd::systemd;
use rustix::process::{PidfdFlags, pidfd_open};
use vpnm_host::{Host, HostError, names};

use super::keeper::{self, Keeper, Missing};
use super::report;
use crate::engine::Identity;
use crate::failpoint::FailPoints;

/// What it is called in the service manager's store.
const FILTER: &str = "filter";
/// Where the process that holds it listens, in the runtime directory.
const SOCKET: &str = "keeper.sock";

/// Longest a process of ours may take to answer when it matters.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest when it can be asked again.
const GLANCE: Duration = Duration::from_millis(300);
const UNKEPT: &str = "if this daemon dies, others can flush the packet filter";

/// Who holds the socket besides us.
#[derive(Debug)]
enum Holder {
    Nobody,
    ServiceManager,
    /// A process that was started and may not have come to answering.
    Starting,
    Process(Keeper),
}

/// What a daemon leaves of the packet filter's socket, and finds of it.
#[derive(Debug)]
pub(crate) struct FilterKeep {
    path: PathBuf,
    identity: Identity,
    /// The process with which we end, if we end with whoever started us: a holder does
    /// as well.
    starter: Option<OwnedFd>,
    /// Whether we leave anything when we end.
    leaves: bool,
    points: Arc<FailPoints>,
    holder: Holder,
}

impl FilterKeep {
    /// To be called from the process's first thread, which alone knows how it dies.
    pub(crate) fn new(
        runtime: &Path,
        identity: Identity,
        leaves: bool,
        points: Arc<FailPoints>,
    ) -> Self {
        Self {
            path: runtime.join(SOCKET),
            identity,
            starter: starter(),
            leaves,
            points,
            holder: Holder::Nobody,
        }
    }

    /// Opens the host with the socket of the daemon before this one, if it was kept.
    pub(crate) fn open_host(&mut self) -> Result<Host, HostError> {
        let Some(filter) = self.find()? else {
            return Host::open();
        };
        match Host::take_over(filter) {
            Ok(host) => {
                tracing::info!("the packet filter of the daemon before is taken over");
                Ok(host)
            }
            Err(error) => {
                tracing::warn!(%error, "what was kept of the packet filter is of no use");
                self.release();
                Host::open()
            }
        }
    }

    /// The socket that was kept, and who keeps it.
    ///
    /// Whoever does not answer is ended; where it is not known who that is, the tables
    /// are somebody else's.
    fn find(&mut self) -> Result<Option<OwnedFd>, HostError> {
        if let Some(filter) = systemd::stored_fd(FILTER) {
            self.holder = Holder::ServiceManager;
            return Ok(Some(filter));
        }
        match Keeper::find(&self.path, PATIENCE) {
            Ok((keeper, filter)) => {
                self.holder = keeper.map_or(Holder::Nobody, Holder::Process);
                Ok(Some(filter))
            }
            Err(Missing::Nobody) => Ok(None),
            Err(Missing::Silent(Some(keeper))) => {
                tracing::warn!("who kept the packet filter does not answer");
                self.holder = Holder::Process(keeper);
                self.release();
                Ok(None)
            }
            Err(Missing::Silent(None)) => Err(HostError::Owned {
                table: names::TABLE,
            }),
        }
    }

    /// Has somebody hold the socket, unless somebody does. Does not wait for it, and if
    /// it cannot be had says so: the machine is blocked all the same.
    pub(crate) fn hold(&mut self, host: &Host) {
        if !self.leaves || !host.capabilities().ownership || self.is_held() {
            return;
        }
        self.pass("before the packet filter is kept");
        match self.try_hold(host.filter_socket()) {
            Ok(holder) => self.replace(holder),
            Err(error) => tracing::warn!(%error, "{UNKEPT}"),
        }
        self.pass("after the packet filter is kept");
    }

    fn is_held(&self) -> bool {
        match &self.holder {
            Holder::Nobody => false,
            // Where a process holds it that was found, the manager is to.
            Holder::Process(_) if has_store() => false,
            Holder::Process(keeper) => keeper.lives() && self.path.exists(),
            Holder::ServiceManager | Holder::Starting => true,
        }
    }

    fn try_hold(&self, filter: BorrowedFd<'_>) -> io::Result<Holder> {
        if has_store() {
            // The store would keep another one of the same name beside the first.
            systemd::remove_fd(FILTER)?;
            systemd::store_fd(FILTER, filter)?;
            return Ok(Holder::ServiceManager);
        }
        if std::process::id() == 1 {
            return Err(io::Error::other("nothing outlives process 1"));
        }
        if let Holder::Process(_) = self.holder {
            tracing::warn!("the process that kept the packet filter is gone; another is started");
        }
        let starter = self.starter.as_ref().map(OwnedFd::as_fd);
        keeper::start(&self.path, self.identity, filter, starter)?;
        Ok(Holder::Starting)
    }

    /// Puts the next holder into the place of the last, who ends: both held the same.
    fn replace(&mut self, next: Holder) {
        let last = std::mem::replace(&mut self.holder, next);
        if let Holder::Process(keeper) = last
            && keeper.lives()
        {
            end(keeper);
        }
    }

    /// Makes sure of a process that was started, if it has come to answering.
    pub(crate) fn confirm(&mut self) {
        self.await_start(GLANCE);
    }

    fn await_start(&mut self, patience: Duration) {
        if !matches!(self.holder, Holder::Starting) {
            return;
        }
        match Keeper::find(&self.path, patience) {
            Ok((Some(keeper), _)) => {
                tracing::info!(process = keeper.number, "the packet filter is kept");
                self.holder = Holder::Process(keeper);
            }
            Err(Missing::Silent(_)) => {}
            Ok((None, _)) | Err(Missing::Nobody) => {
                tracing::warn!("{UNKEPT}: the process that was to keep it ended");
                self.holder = Holder::Nobody;
            }
        }
    }

    /// Nobody is to hold the socket any more: the machine is open. What was done.
    pub(crate) fn release(&mut self) -> Option<String> {
        self.await_start(PATIENCE);
        let holder = std::mem::replace(&mut self.holder, Holder::Nobody);
        let released = match holder {
            Holder::Nobody | Holder::Starting => None,
            Holder::ServiceManager => {
                self.pass("before the packet filter is left");
                report(systemd::remove_fd(FILTER));
                None
            }
            Holder::Process(keeper) => {
                self.pass("before the packet filter is left");
                let number = keeper.number;
                end(keeper);
                Some(format!("- process {number} that kept the packet filter"))
            }
        };
        // Nobody listens there; one that is not there is as wanted.
        if fs::remove_file(&self.path).is_ok() || released.is_some() {
            self.pass("after the packet filter is left");
        }
        released
    }

    fn pass(&self, what: &str) {
        self.points.pass(format_args!("{what}"));
    }
}

/// Whether a service manager keeps descriptors for us. Others that only listen to
/// notifications (containers' managers) keep none.
fn has_store() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some() && Path::new("/run/systemd/system").is_dir()
}

/// The process that started us, if its end is ours (`PR_SET_PDEATHSIG`).
fn starter() -> Option<OwnedFd> {
    rustix::process::parent_process_death_signal().ok()??;
    pidfd_open(rustix::process::getppid()?, PidfdFlags::empty()).ok()
}

fn end(keeper: Keeper) {
    let number = keeper.number;
    if let Err(error) = keeper.end() {
        tracing::warn!(%error, process = number, "who kept the packet filter does not end");
    }
}
