//! From the first instruction to the last.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyd::{Daemon, Product, Socket};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use vpnm_api::tunnel::TunnelService;
use vpnm_api::{Code, Failure, State, Status, Step, Traffic};
use vpnm_host::{Desired, Host, HostError};

use crate::actor::{Actor, Inlets, Request, engine_config, machine_config};
use crate::cause::Cause as _;
use crate::clock::Clock;
use crate::engine::{EngineLane, Identity};
use crate::failpoint::{self, FailPoints};
use crate::host_lane::{HostLane, Place};
use crate::journal::{self, Journal};
use crate::lock::{self, Lock, LockError};
use crate::reconcile::{self, Roaming};
use crate::service::Service;
use crate::settings::{self, Settings};
use crate::tsm::{Loaded, Machine, Record};

/// Messages that may wait in each of the daemon's queues.
const WAITING: usize = 64;
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
/// Secures the machine first if it is to be secured. Ending opens nothing.
///
/// With `VPNM_FAILPOINT=N` in its environment it aborts at the `N`th place where
/// something has changed or is about to, to prove that dying there does no harm.
///
/// # Errors
/// [`DaemonError`]; what was blocked stays blocked.
pub fn run(options: &Options) -> Result<(), DaemonError> {
    if !rustix::process::geteuid().is_root() {
        return Err(DaemonError::NotRoot);
    }
    let _lock = Lock::take(&options.runtime)?;
    let host = Host::open()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| system("build an event loop", source))?;
    LocalSet::new().block_on(&runtime, serve(options, host))
}

fn system(action: &'static str, source: io::Error) -> DaemonError {
    DaemonError::System { action, source }
}

async fn serve(options: &Options, host: Host) -> Result<(), DaemonError> {
    let (requests, asked) = mpsc::channel(WAITING);
    let (shown, status) = watch::channel(Status::disconnected(env!("CARGO_PKG_VERSION")));
    let (actor, inlets) = assemble(options, host, asked, shown)?;
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
    Daemon::new(product)
        .serve(TunnelService(Service { requests, status }))
        .listen(Socket::path(options.runtime.join("vpnmd.sock")).mode(0o666))
        .run(end)
        .await?;
    Ok(())
}

/// Puts the parts together; nothing happens before the actor lives.
fn assemble(
    options: &Options,
    mut host: Host,
    requests: mpsc::Receiver<Request>,
    status: watch::Sender<Status>,
) -> Result<(Actor, Inlets), DaemonError> {
    let journal = Journal::at(&options.journal);
    let mut loaded = load(&journal, &mut host);
    let settings = Settings::load(&options.settings).unwrap_or_else(|error| {
        tracing::warn!(%error, "the settings are of no use, the defaults hold");
        loaded.unreadable.get_or_insert_with(|| error.failure());
        Settings::default()
    });
    let identity = Identity::of_system();
    let variable = std::env::var(failpoint::VARIABLE).ok();
    let points = Arc::new(FailPoints::new(variable.as_deref()));
    let (host_reports, from_host) = mpsc::channel(WAITING);
    let (engine_reports, from_engine) = mpsc::channel(WAITING);
    let place = Place {
        journal,
        engine_uid: identity.uid,
        lan: settings.lan,
        points: Arc::clone(&points),
    };
    let host = HostLane::start(host, place, host_reports)
        .map_err(|source| system("start a thread", source))?;
    let engine = EngineLane::new(identity, engine_config(&settings), points, engine_reports);
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
        replies: BTreeMap::new(),
        exited: false,
    };
    let inlets = Inlets {
        requests,
        host: from_host,
        engine: from_engine,
        changes: reconcile::subscribe().unwrap_or_else(|error| {
            tracing::warn!(%error, "changes by others are found by looking, every 30 s");
            reconcile::silence()
        }),
    };
    Ok((actor, inlets))
}

/// What is wanted: what the journal says, and secured if it says nothing of use.
fn load(journal: &Journal, host: &mut Host) -> Loaded {
    let unreadable = |failure: Failure| {
        tracing::warn!(%failure, "the machine is taken to be secured");
        Loaded {
            record: Record::unreadable(),
            unreadable: Some(failure),
        }
    };
    match journal.load() {
        Ok(Some(record)) => Loaded {
            record,
            unreadable: None,
        },
        Ok(None) if is_untouched(host) => Loaded::default(),
        Ok(None) => unreadable(Failure::new(
            Code::JournalUnreadable,
            "there is none, though this machine is blocked",
        )),
        Err(error) => unreadable(Failure {
            code: Code::JournalUnreadable,
            ..error.failure()
        }),
    }
}

/// Whether nothing of ours is on the host.
fn is_untouched(host: &mut Host) -> bool {
    let seen = host.observe();
    let plan = seen.and_then(|seen| vpnm_host::plan(&seen, &Desired::Open));
    plan.is_ok_and(|plan| plan.is_empty())
}

/// Waits until it is known how the host is: blocked where it must be.
async fn first_look(mut status: watch::Receiver<Status>) {
    let is_known = |status: &Status| {
        !matches!(
            status.state,
            State::Connecting { step: Step::Block } | State::Disconnecting
        )
    };
    let _late = tokio::time::timeout(FIRST_LOOK, status.wait_for(is_known)).await;
}
