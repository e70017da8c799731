//! From the first instruction to the last.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyd::{Daemon, Product, Socket};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use vpnm_api::tunnel::TunnelService;
use vpnm_api::{Code, Failure, Goal, State, Status, Step, Traffic};
use vpnm_host::HostError;

use crate::actor::{Actor, Inlets, engine_config, machine_config};
use crate::cause::Cause as _;
use crate::checks::Checks;
use crate::clock::Clock;
use crate::engine::{EngineLane, Identity};
use crate::failpoint::{self, FailPoints};
use crate::host_lane::{self, HostLane, Place, Worker};
use crate::journal::{self, Journal};
use crate::keep;
use crate::lock::{self, Lock, LockError};
use crate::permitted::Permitted;
use crate::pulse::Pulse;
use crate::reconcile::{self, Roaming};
use crate::request::Request;
use crate::resolver_lane::ResolverLane;
use crate::service::Service;
use crate::settings::{self, Settings};
use crate::tsm::{Loaded, Machine, Record};

/// Messages that may wait in each of the daemon's queues.
const WAITING: usize = 64;
/// The socket's name in the runtime directory.
const SOCKET: &str = "vpnmd.sock";
/// Clients are let in when it is known how the host is, but not later than this.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// Where the daemon keeps what it keeps. The defaults are the only places in use;
/// a test gives its daemon a file system of its own instead of other paths.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of the journal.
    pub journal: PathBuf,
    /// The settings' file.
    pub settings: PathBuf,
    /// The directory of the socket and the lock.
    pub runtime: PathBuf,
}

/// Why the daemon ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Only root can change the network.
    #[error("the daemon must be started by root")]
    NotRoot,
    /// Another daemon is running, or the lock cannot be taken.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel cannot be used.
    #[error("the kernel's network cannot be used")]
    Host(#[from] HostError),
    /// The machine is to be secured and could not be blocked.
    #[error("THIS MACHINE IS NOT PROTECTED: {0}")]
    Unprotected(Failure),
    /// A thread, an event loop or a notification could not be had.
    #[error("cannot {action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Clients cannot be served.
    #[error("cannot serve clients")]
    Service(#[from] anyd::DaemonError),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            journal: journal::DIRECTORY.into(),
            settings: settings::FILE.into(),
            runtime: lock::DIRECTORY.into(),
        }
    }
}

/// Runs the daemon until it is told to end by SIGTERM or SIGINT.
///
/// If the machine is to be secured it is blocked before anything else is done or
/// read; where that fails it is tried again for as long as the daemon runs. Ending
/// opens nothing.
///
/// With `VPNM_FAILPOINT=N` in its environment it aborts at the `N`th place where
/// something has changed or is about to, to prove that dying there does no harm.
///
/// # Errors
/// [`DaemonError`]; what was blocked stays blocked.
pub fn run(options: &Options) -> Result<(), DaemonError> {
    let (lock, start) = begin(options)?;
    let _lock = lock?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| system("build an event loop", source))?;
    LocalSet::new().block_on(&runtime, serve(options, start))
}

/// Blocks this machine if it is to be secured, and returns whether it is: what the
/// system does at its start, before it brings up the network.
///
/// A machine whose journal's directory is missing is taken to be secured: what is
/// installed has one, so the disk with it is not there yet.
///
/// # Errors
/// [`DaemonError`]; [`DaemonError::Host`] means that the machine may be open.
pub fn block(options: &Options) -> Result<bool, DaemonError> {
    let (lock, start) = begin(options)?;
    let mut start = start;
    if !options.journal.is_dir() && start.loaded.record.goal() == Goal::Open {
        start.blocked = start.worker.block_first();
        start.loaded.record = Record::unreadable();
    }
    let _lock = lock?;
    start.blocked.map_err(DaemonError::Unprotected)?;
    Ok(start.loaded.record.goal() == Goal::Secured)
}

/// The TUN of the daemon before this one, and the listeners beside it.
type Adopted = Option<(OwnedFd, Vec<OwnedFd>)>;

/// The daemon after its first look at what is wanted.
struct Start {
    loaded: Loaded,
    /// Whether the first block, if one was needed, could be made.
    blocked: Result<(), Failure>,
    tun: Adopted,
    worker: Worker,
    from_host: mpsc::Receiver<host_lane::Report>,
    identity: Identity,
    points: Arc<FailPoints>,
}

/// Blocks this machine if it is to be secured. The lock that cannot be taken is no
/// reason not to, unless another daemon has it.
fn begin(options: &Options) -> Result<(Result<Lock, LockError>, Start), DaemonError> {
    if !rustix::process::geteuid().is_root() {
        return Err(DaemonError::NotRoot);
    }
    let lock = Lock::take(&options.runtime);
    if let Err(held @ LockError::Held { .. }) = lock {
        return Err(held.into());
    }
    let variable = std::env::var(failpoint::VARIABLE).ok();
    let points = Arc::new(FailPoints::new(variable.as_deref()));
    let identity = Identity::of_system();
    let (reports, from_host) = mpsc::channel(WAITING);
    let place = Place {
        journal: Journal::at(&options.journal),
        engine_uid: identity.uid,
        permitted: Permitted::default(),
        points: Arc::clone(&points),
    };
    let mut worker = Worker::new(place, reports);
    let mut loaded = load(&Journal::at(&options.journal), &mut worker)?;
    let (tun, blocked) = secure(&mut worker, &loaded.record);
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

/// Blocks, if that is what the record says.
fn secure(worker: &mut Worker, record: &Record) -> (Adopted, Result<(), Failure>) {
    if record.goal() == Goal::Open {
        keep::forget();
        return (None, Ok(()));
    }
    let tun = worker.adopt_tun();
    let blocked = worker.block_first();
    if let Err(failure) = &blocked {
        tracing::error!(%failure, "THIS MACHINE IS NOT PROTECTED; blocking is tried again");
    }
    (tun, blocked)
}

fn system(action: &'static str, source: io::Error) -> DaemonError {
    DaemonError::System { action, source }
}

async fn serve(options: &Options, start: Start) -> Result<(), DaemonError> {
    let (requests, asked) = mpsc::channel(WAITING);
    let (shown, status) = watch::channel(Status::disconnected(env!("CARGO_PKG_VERSION")));
    let (actor, inlets) = assemble(options, start, asked, shown)?;
    let life = tokio::task::spawn_local(actor.live(inlets));
    first_look(status.clone()).await;

    let told = requests.clone();
    let end = async move {
        anyd::signals().await;
        tracing::info!("told to end");
        // The actor ends only by this, or by its own failure.
        let _ended = told.send(Request::Stop).await;
        let _over = life.await;
    };
    let product = Product {
        name: "vpnmd".to_owned(),
        ..anyd::product!()
    };
    let pulse = Pulse::of(requests.clone());
    Daemon::new(product)
        .serve(TunnelService(Service { requests, status }))
        .listen(Socket::path(options.runtime.join(SOCKET)).mode(0o666))
        .alive(move || pulse.beats())
        .run(end)
        .await?;
    Ok(())
}

/// Puts the parts together; nothing more happens before the actor lives.
fn assemble(
    options: &Options,
    start: Start,
    requests: mpsc::Receiver<Request>,
    status: watch::Sender<Status>,
) -> Result<(Actor, Inlets), DaemonError> {
    let mut loaded = start.loaded;
    let settings = Settings::load(&options.settings).unwrap_or_else(|error| {
        tracing::warn!(%error, "the settings are of no use, the defaults hold");
        loaded.unreadable.get_or_insert_with(|| error.failure());
        Settings::default()
    });
    let (engine_reports, from_engine) = mpsc::channel(WAITING);
    let host = HostLane::start(start.worker).map_err(|source| system("start a thread", source))?;
    host.permit(Permitted::from(&settings));
    let config = engine_config(&settings);
    let (told, checked) = mpsc::channel(1);
    let mut engine = EngineLane::new(start.identity, config, start.points, engine_reports);
    if let Some((tun, listeners)) = start.tun {
        engine.keep(tun, listeners);
    }
    let actor = Actor {
        machine: Machine::new(machine_config(&settings), loaded),
        host,
        engine,
        settings,
        settings_file: options.settings.clone(),
        status,
        clock: Clock::start(),
        roaming: Roaming::default(),
        traffic: Traffic::default(),
        checks: Checks::new(told),
        replies: BTreeMap::new(),
        exited: false,
        resolver: ResolverLane::start().map_err(|source| system("start a thread", source))?,
    };
    let inlets = Inlets {
        checked,
        requests,
        host: start.from_host,
        engine: from_engine,
        changes: reconcile::subscribe().unwrap_or_else(|error| {
            tracing::warn!(%error, "changes by others are found by looking, every 30 s");
            reconcile::silence()
        }),
    };
    Ok((actor, inlets))
}

/// What is wanted: what the journal says, and secured if it says nothing of use.
fn load(journal: &Journal, worker: &mut Worker) -> Result<Loaded, HostError> {
    let unreadable = |failure: Failure| {
        tracing::warn!(%failure, "the machine is taken to be secured and locked down");
        Loaded {
            record: Record::unreadable(),
            unreadable: Some(failure),
            ..Loaded::default()
        }
    };
    match journal.load() {
        Ok(Some(record)) => Ok(Loaded {
            record,
            ..Loaded::default()
        }),
        Ok(None) if worker.is_untouched()? => Ok(Loaded::default()),
        Ok(None) => Ok(unreadable(Failure::new(
            Code::JournalUnreadable,
            "there is none, though this machine is blocked",
        ))),
        Err(error) => Ok(unreadable(Failure {
            code: Code::JournalUnreadable,
            ..error.failure()
        })),
    }
}

/// Waits until it is known how the host is: blocked where it must be.
async fn first_look(mut status: watch::Receiver<Status>) {
    let is_known = |status: &Status| {
        !matches!(
            status.state,
            State::Connecting { step: Step::Block } | State::Disconnecting
        )
    };
    let look = async {
        // What is there before the heart's first beat says nothing.
        status.changed().await?;
        status.wait_for(is_known).await.map(drop)
    };
    let _late = tokio::time::timeout(FIRST_LOOK, look).await;
}
