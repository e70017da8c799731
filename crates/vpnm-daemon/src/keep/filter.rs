//! Who holds the packet filter's socket when the daemon is dead.
//!
//! The tables belong to that socket (on kernels that know owners), or their copy does: as
//! long as anybody has it open, nobody else can flush them. A daemon that starts goes on
//! with the very same socket, so that there is no moment without an owner.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyd::systemd;
use rustix::process::{PidfdFlags, pidfd_open};
use vpnm_api::Unkept;
use vpnm_host::{Host, HostError, names};

use super::keeper::{self, Asking, Keeper, Missing};
use super::linux::Linux;
use super::report;
use super::store::{self, Given};
use super::unit;
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

/// Who holds the socket besides us.
#[derive(Debug)]
enum Holder {
    Nobody,
    ServiceManager,
    /// A process that was started and may not have come to answering.
    Starting,
    Process(Keeper),
    /// One that does not answer, whose copy of the tables holds until there are others.
    Silent(Keeper),
}

/// What a daemon leaves of the packet filter's socket, and finds of it.
#[derive(Debug)]
pub(crate) struct FilterKeep {
    path: PathBuf,
    identity: Identity,
    linux: Linux,
    /// The process with which we end, if we end with whoever started us: a holder does
    /// as well.
    starter: Option<OwnedFd>,
    /// Whether we leave anything when we end.
    leaves: bool,
    points: Arc<FailPoints>,
    holder: Holder,
    /// The service manager was given it, and may keep it.
    given: Option<Given>,
    /// The service manager does not keep what it is given.
    refused: bool,
    /// It ends whatever process we leave together with us.
    ends_process: bool,
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
            linux: Linux::of_environment(),
            starter: starter(),
            leaves,
            points,
            holder: Holder::Nobody,
            given: None,
            refused: false,
            ends_process: unit::ends_processes(),
        }
    }

    /// Opens the host with the socket of the daemon before this one, if it was kept.
    ///
    /// Whoever does not answer is ended; where it is not known who that is, the tables
    /// are somebody else's.
    pub(crate) fn open_host(&mut self) -> Result<Host, HostError> {
        match self.find() {
            Ok(filter) => self.open_with(filter),
            Err(Missing::Nobody) => self.open_alone(),
            Err(Missing::Silent(keeper)) => {
                tracing::warn!("who kept the packet filter does not answer");
                self.open_beside(keeper)
            }
        }
    }

    fn open_alone(&self) -> Result<Host, HostError> {
        Host::open_with(None, self.linux.capabilities())
    }

    fn open_with(&mut self, filter: OwnedFd) -> Result<Host, HostError> {
        match Host::open_with(Some(filter), self.linux.capabilities()) {
            Ok(host) => {
                tracing::info!("the packet filter of the daemon before is taken over");
                Ok(host)
            }
            Err(error) => {
                tracing::warn!(%error, "what was kept of the packet filter is of no use");
                self.release();
                self.open_alone()
            }
        }
    }

    fn open_beside(&mut self, keeper: Option<Keeper>) -> Result<Host, HostError> {
        let host = self.open_alone()?;
        match (keeper, host.capabilities().ownership) {
            (Some(keeper), true) => {
                self.holder = Holder::Process(keeper);
                self.release();
            }
            (None, true) => {
                return Err(HostError::Owned {
                    table: names::TABLE,
                });
            }
            (Some(keeper), false) => self.holder = Holder::Silent(keeper),
            (None, false) => {}
        }
        Ok(host)
    }

    /// The socket that was kept; who keeps it is noted.
    fn find(&mut self) -> Result<OwnedFd, Missing> {
        if let Some(filter) = systemd::stored_fd(FILTER) {
            self.holder = Holder::ServiceManager;
            return Ok(filter);
        }
        let (keeper, filter) = Keeper::find(&self.path, self.asking(PATIENCE))?;
        self.holder = keeper.map_or(Holder::Nobody, Holder::Process);
        Ok(filter)
    }

    fn asking(&self, patience: Duration) -> Asking {
        Asking {
            patience,
            uid: self.identity.uid,
            linux: self.linux,
        }
    }

    /// Has somebody hold the socket, unless somebody does. Does not wait for it, and if
    /// it cannot be had says so: the machine is blocked all the same.
    pub(crate) fn hold(&mut self, host: &Host) {
        let Some(filter) = host.owning_socket().filter(|_| self.leaves) else {
            return;
        };
        if self.is_held() {
            return;
        }
        self.pass("before the packet filter is kept");
        if let Err(error) = self.try_hold(filter) {
            tracing::warn!(%error, "{}", Unkept::MEANING);
        }
        self.pass("after the packet filter is kept");
    }

    fn is_held(&self) -> bool {
        match &self.holder {
            _ if self.given.is_some() => true,
            Holder::Nobody => false,
            // Where a process holds it that was found, the manager is to.
            Holder::Process(_) if self.has_store() => false,
            Holder::Process(keeper) => keeper.lives() && self.path.exists(),
            // Another would take its path, and it would never be ended.
            Holder::ServiceManager | Holder::Starting | Holder::Silent(_) => true,
        }
    }

    /// Whether the service manager may keep it.
    fn has_store(&self) -> bool {
        !self.refused && store::is_offered()
    }

    fn try_hold(&mut self, filter: BorrowedFd<'_>) -> io::Result<()> {
        if self.has_store() {
            self.given = Some(Given::new(FILTER, filter)?);
            return Ok(());
        }
        if is_first() {
            return Err(io::Error::other("nothing outlives process 1"));
        }
        if let Holder::Process(_) = self.holder {
            tracing::warn!("the process that kept the packet filter is gone; another is started");
        }
        let starter = self.starter.as_ref().map(OwnedFd::as_fd);
        keeper::start(&self.path, self.identity, filter, starter)?;
        self.replace(Holder::Starting);
        Ok(())
    }

    /// Puts the next holder into the place of the last, who ends: both held the same.
    fn replace(&mut self, next: Holder) {
        let last = std::mem::replace(&mut self.holder, next);
        if let Holder::Process(keeper) | Holder::Silent(keeper) = last
            && keeper.lives()
        {
            end(keeper);
        }
    }

    /// Makes sure of whoever was to hold the socket, as far as that is known by now. With
    /// the tables of this `host` in place, if they are, the copy of one that does not answer
    /// is of no use any more; another is started for it, and for one that ended.
    pub(crate) fn confirm(&mut self, host: Option<&Host>) {
        let was_starting = matches!(self.holder, Holder::Starting);
        self.await_start(GLANCE);
        let is_useless = match self.holder {
            Holder::Silent(_) => true,
            // It ended before it was known; the next look may be half a minute away.
            Holder::Nobody => was_starting,
            Holder::Process(_) | Holder::Starting | Holder::ServiceManager => false,
        };
        if let Some(host) = host.filter(|_| is_useless) {
            self.replace(Holder::Nobody);
            self.hold(host);
        }
        let kept = self.given.as_ref().and_then(|given| given.is_kept(GLANCE));
        let Some(is_kept) = kept else {
            return;
        };
        self.given = None;
        if is_kept {
            self.replace(Holder::ServiceManager);
            return;
        }
        self.refused = true;
        tracing::warn!(
            with_the_daemon = self.ends_process,
            "the service manager does not keep the packet filter (FileDescriptorStoreMax= of \
             the unit); a process is to, which it may end with the daemon (KillMode=)"
        );
        if let Some(host) = host {
            self.hold(host);
        }
    }

    /// Why the tables of this host would be nobody's if we died; nothing if they would have
    /// an owner, as far as that is known by now, or can have none.
    pub(crate) fn unkept(&self, host: &Host) -> Option<Unkept> {
        host.owning_socket().filter(|_| self.leaves)?;
        match &self.holder {
            _ if self.given.is_some() => None,
            Holder::Nobody if is_first() => Some(Unkept::FirstProcess),
            Holder::Nobody => Some(Unkept::NoProcess),
            Holder::Process(keeper) if !keeper.lives() => Some(Unkept::NoProcess),
            Holder::Process(_) | Holder::Starting if self.ends_process => {
                Some(Unkept::ServiceManager)
            }
            Holder::Process(_) | Holder::Starting | Holder::Silent(_) | Holder::ServiceManager => {
                None
            }
        }
    }

    fn await_start(&mut self, patience: Duration) {
        if !matches!(self.holder, Holder::Starting) {
            return;
        }
        match Keeper::find(&self.path, self.asking(patience)) {
            Ok((Some(keeper), _)) => {
                tracing::info!(process = keeper.number, "the packet filter is kept");
                self.holder = Holder::Process(keeper);
            }
            Err(Missing::Silent(_)) => {}
            Ok((None, _)) | Err(Missing::Nobody) => {
                let meaning = Unkept::MEANING;
                tracing::warn!("{meaning}: the process that was to keep the filter ended");
                self.holder = Holder::Nobody;
            }
        }
    }

    /// Nobody is to hold the socket any more: the machine is open. What was done.
    pub(crate) fn release(&mut self) -> Option<String> {
        self.await_start(PATIENCE);
        let holder = std::mem::replace(&mut self.holder, Holder::Nobody);
        let is_given = self.given.take().is_some() || matches!(holder, Holder::ServiceManager);
        if is_given {
            self.pass("before the packet filter is left");
            report(store::forget(FILTER));
        }
        let released = match holder {
            Holder::Nobody | Holder::Starting | Holder::ServiceManager => None,
            Holder::Process(keeper) | Holder::Silent(keeper) => {
                self.pass("before the packet filter is left");
                let number = keeper.number;
                end(keeper);
                Some(format!("- process {number} that kept the packet filter"))
            }
        };
        // Nobody listens there; one that is not there is as wanted.
        if fs::remove_file(&self.path).is_ok() || is_given || released.is_some() {
            self.pass("after the packet filter is left");
        }
        released
    }

    fn pass(&self, what: &str) {
        self.points.pass(format_args!("{what}"));
    }
}

/// Whether everything in this container ends with us.
fn is_first() -> bool {
    std::process::id() == 1
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
