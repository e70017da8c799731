//! The host's lane: the journal and the kernel, on a thread of their own.
//!
//! Netlink calls block for milliseconds and a disk may take longer; the thread
//! that answers clients must not wait for either. Effects come one at a time and
//! are never aborted.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::mpsc::Sender;
use vpnm_api::{Code, Failure, Note};
use vpnm_host::tun::{self, TunError};
use vpnm_host::{Desired, Endpoint, Guard, Host, Lan, Point, ReachError, Transport, Tunnel};

use crate::cause::Cause as _;
use crate::failpoint::FailPoints;
use crate::journal::Journal;
use crate::redirect::Redirect;
use crate::tsm::{Effect, Holes, HostWant, Outcome, Ticket};
use crate::uplink::Uplink;

/// Jobs that may wait: the machine orders one at a time, and the uplink is asked
/// for no more than once.
const WAITING: usize = 4;
/// How often a busy TUN is tried again, and how long after.
const TUN_ATTEMPTS: u32 = 50;
const TUN_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// What the thread is asked for.
#[derive(Debug)]
enum Job {
    Run(Ticket, Box<Effect>),
    LookAtUplink,
    AllowLan(bool),
}

/// What the thread says.
#[derive(Debug)]
pub(crate) enum Report {
    /// An effect ended.
    Done(Ticket, Outcome),
    /// The TUN is open: its descriptor, and the listeners that go with it.
    Tun(Ticket, OwnedFd, Vec<OwnedFd>),
    /// The TUN was found to be gone.
    TunLost,
    /// The network below the tunnel, as it is now.
    Uplink(Uplink),
}

/// What the thread needs to know.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) journal: Journal,
    pub(crate) engine_uid: u32,
    pub(crate) lan: bool,
    pub(crate) points: Arc<FailPoints>,
}

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct HostLane {
    jobs: SyncSender<Job>,
}

impl HostLane {
    /// Starts the thread; it ends when this is dropped and its last effect is done.
    pub(crate) fn start(
        host: Host,
        place: Place,
        reports: Sender<Report>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(WAITING);
        let worker = Worker {
            host,
            place,
            redirect: None,
            has_tun: false,
            reports,
        };
        thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || worker.work(&queue))?;
        Ok(Self { jobs })
    }

    /// Orders an effect; its end is reported.
    pub(crate) fn order(&self, ticket: Ticket, effect: Effect) {
        self.send(Job::Run(ticket, Box::new(effect)));
    }

    /// Asks for the network below the tunnel, unless too much is waiting already.
    pub(crate) fn look_at_uplink(&self) {
        // A full queue means that a look is on its way.
        let _full = self.jobs.try_send(Job::LookAtUplink);
    }

    /// Whether private networks are reached directly, from the next effect on.
    pub(crate) fn allow_lan(&self, lan: bool) {
        self.send(Job::AllowLan(lan));
    }

    fn send(&self, job: Job) {
        // The thread outlives this sender: it ends by its drop.
        let _ended = self.jobs.send(job);
    }
}

struct Worker {
    host: Host,
    place: Place,
    redirect: Option<Redirect>,
    /// A TUN was opened, and not found to be gone since.
    has_tun: bool,
    reports: Sender<Report>,
}

impl Worker {
    fn work(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let report = match job {
                Job::Run(ticket, effect) => self.run(ticket, &effect),
                Job::AllowLan(lan) => {
                    self.place.lan = lan;
                    continue;
                }
                Job::LookAtUplink => match self.host.observe() {
                    Ok(observed) => Report::Uplink(Uplink::of(&observed)),
                    Err(error) => {
                        tracing::warn!(%error, "the network cannot be looked at");
                        continue;
                    }
                },
            };
            self.report(report);
        }
    }

    fn report(&self, report: Report) {
        // The daemon that no longer listens is about to end.
        let _gone = self.reports.blocking_send(report);
    }

    fn run(&mut self, ticket: Ticket, effect: &Effect) -> Report {
        self.place.points.pass(format_args!("before {effect:?}"));
        let report = self.carry_out(ticket, effect);
        self.place.points.pass(format_args!("after {effect:?}"));
        report
    }

    fn carry_out(&mut self, ticket: Ticket, effect: &Effect) -> Report {
        let done = |result: Result<(), Failure>| match result {
            Ok(()) => Report::Done(ticket, Outcome::Done),
            Err(failure) => Report::Done(ticket, Outcome::Failed(failure)),
        };
        match effect {
            Effect::Check => done(self.check()),
            Effect::Remember(record) => {
                done(self.place.journal.store(record).map_err(|e| e.failure()))
            }
            Effect::Host(want) => Report::Done(ticket, self.reach(want)),
            Effect::OpenTun => match self.open_tun() {
                Ok((tun, listeners)) => Report::Tun(ticket, tun, listeners),
                Err(failure) => done(Err(failure)),
            },
            // The interface goes with its last descriptor, which the engine's lane has.
            Effect::CloseTun
            | Effect::StartEngine
            | Effect::StopEngine
            | Effect::Resolve(_)
            | Effect::Connect { .. } => done(Err(Failure::new(
                Code::Host,
                "this is not done in the host's lane",
            ))),
        }
    }

    /// Whether the host can be blocked and carry a tunnel; changes nothing.
    fn check(&mut self) -> Result<(), Failure> {
        check_tun_device().map_err(|e| e.failure())?;
        let observed = self.host.observe().map_err(|e| e.failure())?;
        if observed.link().is_some() {
            return Err(TunError::Foreign.failure());
        }
        let blocked = self.desired(&HostWant::Blocked(Holes::default()))?;
        vpnm_host::plan(&observed, &blocked).map_err(|e| e.failure())?;
        Ok(())
    }

    fn open_tun(&mut self) -> Result<(OwnedFd, Vec<OwnedFd>), Failure> {
        let options = tun::Options {
            owner: self.place.engine_uid,
            multi_queue: false,
        };
        let device = open_when_free(options).map_err(|e| e.failure())?;
        let redirect = match self.redirect.take() {
            Some(redirect) => redirect,
            None => {
                Redirect::bind().map_err(|e| Failure::new(Code::Host, crate::cause::chain(&e)))?
            }
        };
        let redirect = self.redirect.insert(redirect);
        let listeners = redirect.listeners.iter().map(OwnedFd::try_clone);
        let listeners = listeners.collect::<std::io::Result<_>>();
        let listeners = listeners.map_err(|e| Failure::new(Code::Host, crate::cause::chain(&e)))?;
        self.has_tun = true;
        Ok((device.fd, listeners))
    }

    fn reach(&mut self, want: &HostWant) -> Outcome {
        let desired = match self.desired(want) {
            Ok(desired) => desired,
            Err(failure) => return Outcome::Failed(failure),
        };
        let points = Arc::clone(&self.place.points);
        let mut progress = |point: Point<'_>| {
            match point {
                Point::Before(effect) => points.pass(format_args!("before {effect}")),
                Point::After(effect) => points.pass(format_args!("after {effect}")),
            }
            true
        };
        match self.host.reach(&desired, &mut progress) {
            Ok(plan) => {
                // A block alone holds without the TUN, but no engine can start.
                if matches!(want, HostWant::Blocked(_)) {
                    self.look_for_tun();
                }
                let changes = u32::try_from(plan.effects().len()).unwrap_or(u32::MAX);
                let first = plan.effects().first().map(ToString::to_string);
                let first = first.unwrap_or_default();
                let line = first.lines().next().unwrap_or_default();
                Outcome::Applied(changes, Note::new(line))
            }
            Err(error) => self.reach_failed(want, &error),
        }
    }

    fn reach_failed(&mut self, want: &HostWant, error: &ReachError) -> Outcome {
        if matches!(want, HostWant::Tunnel(_)) {
            self.look_for_tun();
        }
        Outcome::Failed(error.failure())
    }

    /// Tells if the TUN was deleted.
    fn look_for_tun(&mut self) {
        let gone = |seen: vpnm_host::Observed| seen.link().is_none();
        if self.has_tun && self.host.observe().is_ok_and(gone) {
            self.has_tun = false;
            self.report(Report::TunLost);
        }
    }

    fn desired(&mut self, want: &HostWant) -> Result<Desired, Failure> {
        let guard = |holes: &Holes| Guard {
            engine: self.place.engine_uid,
            endpoints: endpoints(holes, self.place.engine_uid),
            lan: if self.place.lan {
                Lan::Allowed
            } else {
                Lan::Blocked
            },
        };
        match want {
            HostWant::Open => Ok(Desired::Open),
            HostWant::Blocked(holes) => Ok(Desired::Blocked(guard(holes))),
            HostWant::Tunnel(holes) => {
                let guard = guard(holes);
                Ok(Desired::Tunnel(guard, self.tunnel()?))
            }
        }
    }

    fn tunnel(&mut self) -> Result<Tunnel, Failure> {
        let redirect = self.redirect.as_ref();
        let dns_port = redirect.map(|redirect| redirect.port).ok_or_else(|| {
            Failure::new(
                Code::Host,
                "the listeners of the DNS redirect are not bound",
            )
        })?;
        let observed = self.host.observe().map_err(|e| e.failure())?;
        let addresses = observed.tunnel_addresses().map_err(|e| e.failure())?;
        Ok(Tunnel {
            addresses,
            dns_port,
        })
    }
}

fn endpoints(holes: &Holes, uid: u32) -> Vec<Endpoint> {
    let endpoint = |address: std::net::SocketAddr| Endpoint {
        uid,
        ip: address.ip(),
        transport: Transport::Tcp,
        port: address.port(),
    };
    holes.iter().map(endpoint).collect()
}

/// Whether there is a TUN device that may be opened; opening it creates nothing.
fn check_tun_device() -> Result<(), TunError> {
    let mut options = std::fs::OpenOptions::new();
    match options.read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(TunError::NotPermitted)
        }
        Err(_) => Err(TunError::NoDevice),
    }
}

/// An engine that is about to die holds the TUN for some milliseconds more.
fn open_when_free(options: tun::Options) -> Result<tun::Device, TunError> {
    for _ in 1..TUN_ATTEMPTS {
        match tun::open(options) {
            Err(TunError::Busy) => thread::sleep(TUN_PAUSE),
            opened => return opened,
        }
    }
    tun::open(options)
}
