//! From the first instruction to the last.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use anyd::{Daemon, Product, Socket};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use vpnm_api::tunnel::TunnelService;
use vpnm_api::{Goal, State, Status, Step, Traffic};

use crate::actor::{Actor, Inlets, engine_config, machine_config};
use crate::cause::Cause as _;
use crate::checks::Checks;
use crate::clock::Clock;
use crate::engine::EngineLane;
use crate::error::DaemonError;
use crate::host_lane::HostLane;
use crate::options::Options;
use crate::permitted::Permitted;
use crate::pulse::Pulse;
use crate::reconcile::{self, Roaming};
use crate::request::{Request, WAITING};
use crate::resolver_lane::ResolverLane;
use crate::service::Service;
use crate::settings::Settings;
use crate::start::{self, Absent, Start};
use crate::tsm::Machine;

/// The socket's name in the runtime directory.
const SOCKET: &str = "vpnmd.sock";
/// Clients are let in when it is known how the host is, but not later than this.
const FIRST_LOOK: Duration = Duration::from_secs(5);

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
    let (lock, start) = start::begin(options, Absent::NeverWritten)?;
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
/// A machine without a journal is taken to be secured: a daemon that ran left one,
/// so the disk with it is not there yet.
///
/// # Errors
/// [`DaemonError`]; [`DaemonError::Unprotected`] means that the machine may be open.
pub fn block(options: &Options) -> Result<bool, DaemonError> {
    let (lock, start) = start::begin(options, Absent::NotThere)?;
    let _lock = lock?;
    start.blocked.map_err(DaemonError::Unprotected)?;
    Ok(start.loaded.record.goal() == Goal::Secured)
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
    let turn = start.worker.turn();
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
        unkept: None,
        checks: Checks::new(told, turn),
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
