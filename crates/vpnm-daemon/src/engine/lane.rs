//! The engine's lane: one effect at a time; a new one aborts the one before.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;
use vpnm_api::engine::{EngineConfig, EngineEvent, LocalNames};
use vpnm_api::{Code, Failure, Note};

use super::identity::Identity;
use super::link::{self, Link};
use super::process::{self, Process};
use crate::failpoint::FailPoints;
use crate::tsm::{Effect, Outcome, Ticket};

/// Tells one engine from the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Incarnation(u64);

/// What the lane says.
#[derive(Debug)]
pub(crate) enum Report {
    /// An effect ended.
    Done(Ticket, Outcome),
    /// An engine ended that was not told to.
    Exited(Incarnation, Note),
    /// An engine runs and gives no sign of life.
    Lifeless(Incarnation),
    /// An engine tells something.
    Told(Incarnation, EngineEvent),
}

/// The data plane's process and what is being asked of it.
#[derive(Debug)]
pub(crate) struct EngineLane {
    identity: Identity,
    config: EngineConfig,
    reports: Sender<Report>,
    points: Arc<FailPoints>,
    /// The TUN, then the listeners; empty while there is no TUN.
    descriptors: Vec<OwnedFd>,
    incarnation: Incarnation,
    engine: Option<(Process, Rc<Link>)>,
    asking: Option<AbortHandle>,
}

impl EngineLane {
    pub(crate) fn new(
        identity: Identity,
        config: EngineConfig,
        points: Arc<FailPoints>,
        reports: Sender<Report>,
    ) -> Self {
        Self {
            identity,
            config,
            reports,
            points,
            descriptors: Vec::new(),
            incarnation: Incarnation::default(),
            engine: None,
            asking: None,
        }
    }

    /// Keeps the TUN and the listeners, for every engine that is to come.
    pub(crate) fn keep(&mut self, tun: OwnedFd, listeners: Vec<OwnedFd>) {
        self.descriptors = std::iter::once(tun).chain(listeners).collect();
    }

    /// Closes the TUN; with the last duplicate of it the interface goes.
    pub(crate) fn close_tun(&mut self) {
        self.descriptors.clear();
    }

    /// Whether this is the engine that runs now.
    pub(crate) fn is_current(&self, incarnation: Incarnation) -> bool {
        self.incarnation == incarnation && self.engine.is_some()
    }

    /// Kills the engine without being ordered to.
    pub(crate) fn discard(&mut self) {
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
        self.engine = None;
    }

    /// Uses these resolvers from the next engine on.
    pub(crate) fn configure(&mut self, config: EngineConfig) {
        self.config = config;
    }

    /// Lets this engine and those to come ask these for names of the local network;
    /// whether they are others than before.
    pub(crate) fn know_local(&mut self, local: LocalNames) -> bool {
        if self.config.local == local {
            return false;
        }
        self.config.local = local.clone();
        if let Some((_, link)) = &self.engine {
            let link = Rc::clone(link);
            tokio::task::spawn_local(async move {
                // An engine that is not started yet, or has ended, is told at the start
                // of the next.
                if let Err(failure) = link.know_local(local).await {
                    tracing::debug!(%failure, "the engine was not told of the local network");
                }
            });
        }
        true
    }

    /// Carries an effect out; its end is reported unless another is ordered before.
    pub(crate) fn order(&mut self, ticket: Ticket, effect: Effect) {
        if let Some(asking) = self.asking.take() {
            asking.abort();
        }
        self.points.pass(format_args!("before {effect:?}"));
        match effect {
            Effect::StartEngine => self.start(ticket),
            Effect::StopEngine => self.stop(ticket),
            Effect::Resolve(host) => {
                self.ask(ticket, async move |link| link.resolve(&host).await);
            }
            Effect::Connect {
                server,
                addresses,
                keep,
            } => {
                let ask = async move |link: Rc<Link>| link.connect(server, addresses, keep).await;
                self.ask(ticket, ask);
            }
            Effect::Check
            | Effect::Remember(_)
            | Effect::Host(_)
            | Effect::OpenTun
            | Effect::CloseTun => {
                let failure = Failure::new(Code::Host, "this is not done in the engine's lane");
                self.ask(ticket, async move |_| Outcome::Failed(failure));
            }
        }
    }

    fn ask<F>(&mut self, ticket: Ticket, ask: F)
    where
        F: AsyncFnOnce(Rc<Link>) -> Outcome + 'static,
    {
        let link = self.engine.as_ref().map(|(_, link)| Rc::clone(link));
        self.run(ticket, async move {
            match link {
                Some(link) => ask(link).await,
                None => Outcome::Failed(Failure::new(Code::EngineLost, "there is no engine")),
            }
        });
    }

    fn run(&mut self, ticket: Ticket, work: impl Future<Output = Outcome> + 'static) {
        let reports = self.reports.clone();
        let points = Arc::clone(&self.points);
        let task = tokio::task::spawn_local(async move {
            let outcome = work.await;
            points.pass(format_args!("after an effect of the engine: {outcome:?}"));
            // The daemon that no longer listens is about to end.
            let _gone = reports.send(Report::Done(ticket, outcome)).await;
        });
        self.asking = Some(task.abort_handle());
    }

    fn start(&mut self, ticket: Ticket) {
        self.incarnation.0 += 1;
        let started = self.start_process();
        let end = self.engine.as_ref().map(|(process, _)| process.end());
        let config = self.config.clone();
        let incarnation = self.incarnation;
        let reports = self.reports.clone();
        let descriptors = self.descriptors.iter().map(OwnedFd::try_clone);
        let descriptors: std::io::Result<Vec<_>> = descriptors.collect();
        self.run(ticket, async move {
            let introduced = async {
                let link = started.map_err(|e| start_failure(&e))?;
                let descriptors = descriptors.map_err(|e| start_failure(&e))?;
                introduce(&link, config, &descriptors, incarnation, reports).await
            };
            let Err(failure) = introduced.await else {
                return Outcome::Done;
            };
            let end = match end {
                Some(end) => end.await,
                None => None,
            };
            Outcome::Failed(end.map_or(failure, |note| Failure::new(Code::EngineStart, note)))
        });
    }

    fn start_process(&mut self) -> std::io::Result<Rc<Link>> {
        let (incarnation, reports) = (self.incarnation, self.reports.clone());
        let exited = move |note: Note| {
            let report = Report::Exited(incarnation, note);
            tokio::task::spawn_local(async move { reports.send(report).await });
        };
        let (process, socket) = process::start(self.identity, exited)?;
        let link = Rc::new(Link::new(socket)?);
        self.engine = Some((process, Rc::clone(&link)));
        Ok(link)
    }

    fn stop(&mut self, ticket: Ticket) {
        let engine = self.engine.take();
        self.run(ticket, async move {
            if let Some((process, link)) = engine {
                drop(link);
                process.kill().await;
            }
            Outcome::Done
        });
    }
}

/// Gives an engine what it needs and listens to what it tells.
async fn introduce(
    link: &Link,
    config: EngineConfig,
    descriptors: &[OwnedFd],
    incarnation: Incarnation,
    reports: Sender<Report>,
) -> Result<(), Failure> {
    link.start(config, descriptors).await?;
    let (listening, watching) = (link.attach().await?, link.attach().await?);
    let told = reports.clone();
    let works = Rc::new(Notify::new());
    let pulse = Rc::clone(&works);
    tokio::task::spawn_local(link::listen(listening, async move |event| {
        works.notify_one();
        // The daemon that no longer listens is about to end.
        let _gone = told.send(Report::Told(incarnation, event)).await;
    }));
    tokio::task::spawn_local(async move {
        if link::becomes_lifeless(watching, &pulse).await {
            // As above.
            let _gone = reports.send(Report::Lifeless(incarnation)).await;
        }
    });
    Ok(())
}

fn start_failure(error: &std::io::Error) -> Failure {
    Failure::new(Code::EngineStart, error.to_string())
}
