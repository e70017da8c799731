//! What the daemon asks, answered on the descriptor it left.
//!
//! The service is `Send`, as its framework asks; the engine lives on one thread.
//! Between them requests travel, each with the place where its answer belongs.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use anyd::{Caller, Daemon, Events, Groups};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use vpnm_api::engine::{
    Engine as Contract, EngineConfig, EngineError, EngineEvent, EngineService, Established,
    LocalNames, Resolved,
};
use vpnm_api::{Code, Failure, ServerName, ShareLink, Traffic};

use crate::engine::{Engine, Watch};
use crate::netshell::{Counters, Totals};

/// Requests that may wait for the engine; each connection has one at a time.
const WAITING: usize = 16;
/// Counters are told no more often.
const TRAFFIC_EVERY: Duration = Duration::from_secs(1);

type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

#[derive(Debug)]
enum Request {
    Start(EngineConfig, Vec<OwnedFd>, Reply<()>),
    Resolve(ServerName, Reply<Resolved>),
    Connect(ShareLink, Vec<IpAddr>, bool, Reply<Established>),
    KnowLocal(LocalNames, Reply<()>),
    Attach(OwnedFd, Reply<()>),
    Watch(Reply<Watch>),
}

/// The service's side: hands requests to the engine's thread.
#[derive(Debug, Clone)]
struct Control {
    requests: mpsc::Sender<Request>,
}

/// Serves the engine on a connected socket until its peer closes it.
///
/// # Errors
/// [`anyd::DaemonError`] when the socket cannot be served.
pub async fn serve(socket: OwnedFd, engine: Rc<Engine>) -> Result<(), anyd::DaemonError> {
    let (requests, mut queue) = mpsc::channel(WAITING);
    let control = Control { requests };
    let attached = control.clone();
    let answering = async {
        while let Some(request) = queue.recv().await {
            let (engine, control) = (Rc::clone(&engine), attached.clone());
            tokio::task::spawn_local(async move { answer(&engine, control, request).await });
        }
    };
    tokio::select! {
        served = connection(socket, control) => served,
        () = answering => Ok(()),
    }
}

/// One connection of the daemon, to its end.
async fn connection(socket: OwnedFd, control: Control) -> Result<(), anyd::DaemonError> {
    Daemon::new(anyd::product!())
        .groups(Groups::fixed([]))
        .serve(EngineService(control))
        .serve_stream(socket)
        .run(std::future::pending())
        .await
}

async fn answer(engine: &Engine, control: Control, request: Request) {
    match request {
        Request::Start(config, descriptors, reply) => {
            let started = engine.start(&config, descriptors);
            settle(reply, started);
        }
        Request::Resolve(name, reply) => {
            let found = engine.resolve(name.domain());
            let found = async {
                Ok(Resolved {
                    addresses: found.await?,
                })
            };
            unless_dropped(reply, found).await;
        }
        Request::Connect(link, addresses, keep, reply) => {
            let connected = Box::pin(engine.connect(&link.0, &addresses, keep));
            unless_dropped(reply, connected).await;
        }
        Request::KnowLocal(local, reply) => settle(reply, engine.know_local(&local)),
        Request::Attach(socket, reply) => {
            tokio::task::spawn_local(async move {
                if let Err(error) = connection(socket, control).await {
                    tracing::warn!(%error, "a further connection of the daemon cannot be served");
                }
            });
            settle(reply, Ok(()));
        }
        Request::Watch(reply) => settle(reply, engine.watch()),
    }
}

/// Works until done, or until nobody waits for the result any more.
async fn unless_dropped<T>(
    mut reply: Reply<T>,
    work: impl Future<Output = Result<T, EngineError>>,
) {
    let result = tokio::select! {
        () = reply.closed() => return,
        result = work => result,
    };
    settle(reply, result);
}

/// An answer that nobody waits for any more is of no use.
fn settle<T>(reply: Reply<T>, result: Result<T, EngineError>) {
    drop(reply.send(result));
}

impl Control {
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        match (sent, answer.await) {
            (Ok(()), Ok(result)) => result,
            _ => Err(EngineError::Failed {
                failure: Failure::new(Code::Stopping, "the engine is ending"),
            }),
        }
    }
}

impl Contract for Control {
    async fn start(
        &self,
        _: &Caller,
        config: EngineConfig,
        fds: Vec<OwnedFd>,
    ) -> Result<(), EngineError> {
        self.ask(|reply| Request::Start(config, fds, reply)).await
    }

    async fn resolve(&self, _: &Caller, name: ServerName) -> Result<Resolved, EngineError> {
        self.ask(|reply| Request::Resolve(name, reply)).await
    }

    async fn connect(
        &self,
        _: &Caller,
        server: ShareLink,
        addresses: Vec<IpAddr>,
        keep: bool,
    ) -> Result<Established, EngineError> {
        self.ask(|reply| Request::Connect(server, addresses, keep, reply))
            .await
    }

    async fn know_local(&self, _: &Caller, local: LocalNames) -> Result<(), EngineError> {
        self.ask(|reply| Request::KnowLocal(local, reply)).await
    }

    async fn attach(&self, _: &Caller, fds: Vec<OwnedFd>) -> Result<(), EngineError> {
        let socket = fds.into_iter().next();
        let socket = socket.ok_or_else(|| EngineError::Descriptors {
            reason: "there is none".into(),
        })?;
        self.ask(|reply| Request::Attach(socket, reply)).await
    }

    async fn watch(&self, _: &Caller, events: Events<EngineEvent>) -> Result<(), EngineError> {
        let watch = self.ask(Request::Watch).await?;
        tell(watch, events).await;
        Ok(())
    }
}

/// Sends health and counters until nobody listens. A tunnel that carries nothing has
/// nothing to tell and does not wake.
async fn tell(mut watch: Watch, mut events: Events<EngineEvent>) {
    let mut told = Totals::default();
    let mut not_before = Instant::now();
    loop {
        let event = tokio::select! {
            changed = watch.condition.changed() => match changed {
                Ok(()) => health(&mut watch),
                Err(_) => return,
            },
            () = more_than(&watch.counters, told, not_before) => {
                told = watch.counters.totals();
                not_before = Instant::now() + TRAFFIC_EVERY;
                EngineEvent::Traffic { traffic: traffic(told) }
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// Waits until the counters are others than those told last, and it is time to say so.
async fn more_than(counters: &Counters, told: Totals, not_before: Instant) {
    counters.differ(told).await;
    tokio::time::sleep_until(not_before).await;
}

fn traffic(totals: Totals) -> Traffic {
    let flows = totals.tcp_flows.saturating_add(totals.udp_flows);
    Traffic {
        rx_bytes: totals.down_bytes,
        tx_bytes: totals.up_bytes,
        flows: u32::try_from(flows).unwrap_or(u32::MAX),
        lost: totals.udp_lost,
    }
}

fn health(watch: &mut Watch) -> EngineEvent {
    let condition = watch.condition.borrow_and_update().clone();
    EngineEvent::Health {
        health: condition.health,
        cause: condition.cause,
    }
}
