//! The first look at what is wanted, and the block that may follow from it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::mpsc;
use vpnm_api::{Code, Failure, Goal, Note};
use vpnm_host::HostError;

use crate::cause::Cause as _;
use crate::engine::Identity;
use crate::error::DaemonError;
use crate::failpoint::{self, FailPoints};
use crate::host_lane::{self, Place, Worker};
use crate::journal::Journal;
use crate::keep::{self, FilterKeep};
use crate::lock::{Lock, LockError};
use crate::options::Options;
use crate::permitted::Permitted;
use crate::request::WAITING;
use crate::tsm::{Loaded, Record};

/// What it means that there is no journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// Nothing was ever wanted, unless something of ours is on the host.
    NeverWritten,
    /// The disk with it is not there yet: what is installed has one.
    NotThere,
}

/// The TUN of the daemon before this one, and the listeners beside it.
pub(crate) type Adopted = Option<(OwnedFd, Vec<OwnedFd>)>;

/// The daemon after its first look at what is wanted.
pub(crate) struct Start {
    pub(crate) loaded: Loaded,
    /// Whether the first block, if one was needed, could be made.
    pub(crate) blocked: Result<(), Failure>,
    pub(crate) tun: Adopted,
    pub(crate) worker: Worker,
    pub(crate) from_host: mpsc::Receiver<host_lane::Report>,
    pub(crate) identity: Identity,
    pub(crate) points: Arc<FailPoints>,
}

/// Blocks this machine if it is to be secured. The lock that cannot be taken is no
/// reason not to, unless another daemon has it.
pub(crate) fn begin(
    options: &Options,
    absent: Absent,
) -> Result<(Result<Lock, LockError>, Start), DaemonError> {
    if !rustix::process::geteuid().is_root() {
        return Err(DaemonError::NotRoot);
    }
    let lock = Lock::take(&options.runtime);
    if let Err(held @ LockError::Held { .. }) = lock {
        return Err(held.into());
    }
    let (mut worker, from_host, identity, points) = worker(options, absent);
    let (mut loaded, unknown) = load(&Journal::at(&options.journal), &mut worker, absent);
    let (tun, blocked) = secure(&mut worker, &loaded.record);
    if let (Some(unknown), Err(_)) = (unknown, &blocked) {
        // Nobody asked for anything, and nothing can be done here.
        return Err(unknown.into());
    }
    loaded.tun = tun.is_some();
    loaded.routed = worker.is_routed();
    let start = Start {
        loaded,
        blocked,
        tun,
        worker,
        from_host,
        identity,
        points,
    };
    Ok((lock, start))
}

type Hands = (
    Worker,
    mpsc::Receiver<host_lane::Report>,
    Identity,
    Arc<FailPoints>,
);

/// The one that touches the host, and what comes with it.
fn worker(options: &Options, absent: Absent) -> Hands {
    let variable = std::env::var(failpoint::VARIABLE).ok();
    let points = Arc::new(FailPoints::new(variable.as_deref()));
    let identity = Identity::of_system();
    let (reports, from_host) = mpsc::channel(WAITING);
    // What only blocks and ends has not the rights to leave a process behind.
    let leaves = absent == Absent::NeverWritten;
    let place = Place {
        journal: Journal::at(&options.journal),
        engine_uid: identity.uid,
        permitted: Permitted::default(),
        filter: FilterKeep::new(&options.runtime, identity, leaves, Arc::clone(&points)),
        points: Arc::clone(&points),
    };
    (Worker::new(place, reports), from_host, identity, points)
}

/// Blocks, if that is what the record says.
fn secure(worker: &mut Worker, record: &Record) -> (Adopted, Result<(), Failure>) {
    if record.goal() == Goal::Open {
        keep::tun::forget();
        return (None, Ok(()));
    }
    let tun = worker.adopt_tun();
    let blocked = worker.block_first();
    if let Err(failure) = &blocked {
        tracing::error!(%failure, "THIS MACHINE IS NOT PROTECTED; blocking is tried again");
    }
    (tun, blocked)
}

/// What is wanted: what the journal says, and secured if it says nothing of use. With
/// it, why it is not known whether anything was ever wanted.
fn load(journal: &Journal, worker: &mut Worker, absent: Absent) -> (Loaded, Option<HostError>) {
    let record = match journal.load() {
        Ok(Some(record)) => record,
        Ok(None) if absent == Absent::NotThere => {
            return (secured("there is none; its disk may be missing"), None);
        }
        Ok(None) => match worker.is_untouched() {
            Ok(true) => remember_open(journal),
            Ok(false) => {
                return (
                    secured("there is none, though this machine is blocked"),
                    None,
                );
            }
            Err(error) => {
                return (
                    secured("there is none, and the host is unknown"),
                    Some(error),
                );
            }
        },
        Err(error) => return (secured(error.failure().detail), None),
    };
    let loaded = Loaded {
        record,
        ..Loaded::default()
    };
    (loaded, None)
}

/// A machine that is taken to be secured and locked down, and why.
fn secured(why: impl Into<Note>) -> Loaded {
    let failure = Failure::new(Code::JournalUnreadable, why);
    tracing::warn!(%failure, "the machine is taken to be secured and locked down");
    Loaded {
        record: Record::unreadable(),
        unreadable: Some(failure),
        ..Loaded::default()
    }
}

/// Writes down that nothing was ever wanted: from now on a journal that is not there
/// is one that is missing.
fn remember_open(journal: &Journal) -> Record {
    let record = Record::default();
    if let Err(error) = journal.store(&record) {
        tracing::warn!(%error, "at its next start this machine may be blocked");
    }
    record
}
