//! The daemon's heart: gives the machine what happens and has done what it orders.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot, watch};
use vpnm_api::engine::{EngineConfig, EngineEvent, LocalNames};
use vpnm_api::{Failure, Goal, State, Status, Traffic, Unkept};
use vpnm_host::tun;

use crate::cause::Cause as _;
use crate::checks::{Checked, Checks};
use crate::clock::{Clock, unix_now};
use crate::engine::{self, EngineLane};
use crate::host_lane::{self, HostLane};
use crate::keep;
use crate::permitted::Permitted;
use crate::reconcile::{self, Changes, Roaming};
use crate::request::Request;
use crate::resolver_lane::ResolverLane;
use crate::settings::{ForOthers, Settings};
use crate::tsm::{
    Command, CommandId, Config, Effect, Event, Holes, Lane, Machine, Outcome, Output, Ticket,
};

/// The port of DNS over HTTPS.
const HTTPS: u16 = 443;

/// Where the heart gets what happens from.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) host: mpsc::Receiver<host_lane::Report>,
    pub(crate) engine: mpsc::Receiver<engine::Report>,
    pub(crate) changes: Changes,
    pub(crate) checked: mpsc::Receiver<Checked>,
}

/// What the heart works with.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) machine: Machine,
    pub(crate) host: HostLane,
    pub(crate) engine: EngineLane,
    pub(crate) settings: Settings,
    pub(crate) settings_file: PathBuf,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) clock: Clock,
    pub(crate) roaming: Roaming,
    pub(crate) traffic: Traffic,
    pub(crate) unkept: Option<Unkept>,
    pub(crate) checks: Checks,
    pub(crate) replies: BTreeMap<CommandId, oneshot::Sender<Result<(), Failure>>>,
    pub(crate) exited: bool,
    pub(crate) resolver: ResolverLane,
}

/// What the engine is told of the settings.
pub(crate) fn engine_config(settings: &Settings) -> EngineConfig {
    EngineConfig {
        mtu: u16::try_from(tun::MTU).unwrap_or(u16::MAX),
        dns: settings.dns.clone(),
        local: local_names(settings, &[]),
    }
}

/// What the engine is told of the local network, of which these resolvers are known.
fn local_names(settings: &Settings, servers: &[IpAddr]) -> LocalNames {
    if !settings.lan {
        return LocalNames::default();
    }
    LocalNames {
        allowed: true,
        servers: servers.to_vec(),
        domains: settings.lan_domains.clone(),
    }
}

/// What the machine is told of the settings.
pub(crate) fn machine_config(settings: &Settings) -> Config {
    let resolvers = settings.dns.iter().map(|upstream| upstream.addresses());
    let holes = resolvers.map(|addresses| Holes::on_port(addresses, HTTPS));
    Config {
        bootstrap: holes.fold(Holes::default(), |all, holes| all.and(&holes)),
    }
}

impl Actor {
    /// Lives until the machine says that everything is done.
    pub(crate) async fn live(mut self, mut inlets: Inlets) {
        self.host.look_at_uplink();
        self.step(Event::Timer);
        while !self.exited {
            let timeout = self.machine.poll_timeout().map(|at| self.clock.instant(at));
            let check = self.checks.due().map(|at| self.clock.instant(at));
            tokio::select! {
                Some(report) = inlets.host.recv() => self.on_host(report),
                Some(report) = inlets.engine.recv() => self.on_engine(report),
                Some(request) = inlets.requests.recv() => self.on_request(request),
                Some(changes) = inlets.changes.recv() => self.on_changes(&changes),
                Some(checked) = inlets.checked.recv() => self.on_checked(checked),
                () = self.resolver.has_news() => self.on_resolver(),
                () = until(check) => self.check(),
                () = until(timeout) => self.step(Event::Timer),
            }
            if self.clock.slept() {
                tracing::info!("the machine slept");
                self.host.look_at_uplink();
                self.step(Event::NetworkBack);
            }
        }
    }

    fn on_request(&mut self, request: Request) {
        let (command, reply) = match request {
            Request::Stop => return self.step(Event::Stop),
            Request::Beat(beat) => return beat.come(),
            Request::Command(command, reply) => (command, reply),
        };
        if let (Command::Connect(_) | Command::Reconnect, Err(failure)) =
            (&command, self.read_settings())
        {
            // Nobody may be waiting any more.
            let _gone = reply.send(Err(failure));
            return;
        }
        let next = self.replies.last_key_value().map_or(0, |(id, _)| id.0 + 1);
        let id = CommandId(next);
        self.replies.insert(id, reply);
        self.step(Event::Command(id, command));
    }

    /// Takes over what was changed in the settings since.
    fn read_settings(&mut self) -> Result<(), Failure> {
        let settings = Settings::load(&self.settings_file).map_err(|e| e.failure())?;
        if settings == self.settings {
            return Ok(());
        }
        tracing::info!("the settings changed");
        if settings.dns != self.settings.dns {
            self.engine.configure(engine_config(&settings));
            self.machine.configure(machine_config(&settings));
        }
        self.settings = settings;
        self.tell_of_local_network();
        self.step(Event::Drift("settings".into()));
        Ok(())
    }

    fn on_resolver(&mut self) {
        if self.tell_of_local_network() {
            self.step(Event::Drift("resolvers of the local network".into()));
        } else {
            self.publish();
        }
    }

    /// Tells the engine and the host which resolvers of the local network may be asked;
    /// whether they are others than before.
    fn tell_of_local_network(&mut self) -> bool {
        let local = local_names(&self.settings, &self.resolver.private_servers());
        self.host.permit(Permitted {
            resolvers: local.servers.clone(),
            ..Permitted::from(&self.settings)
        });
        self.engine.know_local(local)
    }

    fn on_changes(&mut self, changes: &[vpnm_host::Change]) {
        if reconcile::concerns_uplink(changes) {
            self.host.look_at_uplink();
        }
        self.checks.on_changes(changes, self.clock.now());
        self.step(reconcile::drift(changes));
    }

    fn check(&mut self) {
        // What was wanted for one block may be due before the next stands: what leaves then
        // is no leak.
        let is_blocked = self.status.borrow().verified.blocked;
        let wanted = self.settings.leak_check && self.goal() == Goal::Secured && is_blocked;
        self.checks.make(wanted, self.clock.now());
    }

    fn on_checked(&mut self, checked: Checked) {
        let goal = self.goal();
        if let Some(event) = self.checks.take(checked, goal, self.clock.now()) {
            self.step(event);
        }
    }

    fn goal(&self) -> Goal {
        self.machine.record().goal()
    }

    fn on_host(&mut self, report: host_lane::Report) {
        match report {
            host_lane::Report::Done(ticket, outcome) => self.step(Event::Done(ticket, outcome)),
            host_lane::Report::Tun(ticket, tun, listeners) => {
                self.engine.keep(tun, listeners);
                self.step(Event::Done(ticket, Outcome::Done));
            }
            host_lane::Report::TunLost => {
                self.close_tun();
                self.step(Event::TunLost);
            }
            host_lane::Report::Uplink(uplink, used) => {
                let sight = self.roaming.look(uplink, self.machine.via(), &used);
                if !sight.stranded.is_empty() {
                    self.host.end_stranded(sight.stranded);
                }
                if let Some(event) = sight.event {
                    self.step(event);
                }
            }
            host_lane::Report::Unkept(unkept) => {
                self.unkept = unkept;
                self.publish();
            }
        }
    }

    /// The interface goes with its last descriptor.
    fn close_tun(&mut self) {
        keep::tun::forget();
        self.engine.close_tun();
    }

    fn on_engine(&mut self, report: engine::Report) {
        match report {
            engine::Report::Done(ticket, outcome) => self.step(Event::Done(ticket, outcome)),
            engine::Report::Exited(of, note) if self.engine.is_current(of) => {
                tracing::warn!(%note, "the engine ended");
                self.host.end_connections();
                self.step(Event::EngineExited(note));
            }
            engine::Report::Told(of, event) if self.engine.is_current(of) => match event {
                EngineEvent::Health { health, cause } => self.step(Event::Health(health, cause)),
                EngineEvent::Traffic { traffic } => {
                    self.traffic = traffic;
                    self.publish();
                }
            },
            engine::Report::Lifeless(of) if self.engine.is_current(of) => {
                tracing::warn!("the engine gives no sign of life");
                self.engine.discard();
                self.host.end_connections();
                self.step(Event::EngineExited("it gave no sign of life".into()));
            }
            engine::Report::Exited(..) | engine::Report::Lifeless(_) | engine::Report::Told(..) => {
            }
        }
    }

    fn step(&mut self, event: Event) {
        tracing::debug!(?event, "happened");
        let outputs = self.machine.step(event, self.clock.now());
        for output in outputs {
            match output {
                Output::Run(ticket, effect) => self.run(ticket, effect),
                Output::Reply(id, result) => self.reply(id, result),
                Output::Exit => self.exited = true,
            }
        }
        self.publish();
    }

    fn run(&mut self, ticket: Ticket, effect: Effect) {
        tracing::debug!(?effect, "ordered");
        match (effect.lane(), effect) {
            (Lane::Host, Effect::CloseTun) => {
                self.close_tun();
                self.step(Event::Done(ticket, Outcome::Done));
            }
            (Lane::Host, effect) => self.host.order(ticket, effect),
            (Lane::Engine, effect) => self.engine.order(ticket, effect),
        }
    }

    fn reply(&mut self, id: CommandId, result: Result<(), Failure>) {
        if let Some(reply) = self.replies.remove(&id) {
            self.publish();
            // The client may have gone; what it asked for is done all the same.
            let _gone = reply.send(result);
        }
    }

    fn publish(&mut self) {
        let mut status = self.machine.status(self.clock.now(), unix_now());
        let carries = matches!(
            status.state,
            State::Connected(_) | State::Reconnecting { .. }
        );
        if !carries {
            self.traffic = Traffic::default();
        }
        self.resolver.drive(carries);
        status.hints.extend(self.resolver.hint());
        status.traffic = self.traffic;
        status.unkept = self.unkept;
        status.lan = self.settings.lan;
        status.forwarding = self.settings.forwarding == ForOthers::Tunnel;
        let now = self.clock.now();
        self.checks.on_status(&self.status.borrow(), &status, now);
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            if changed && known.state.name() != status.state.name() {
                tracing::info!(from = known.state.name(), to = status.state.name(), "state");
            }
            *known = status;
            changed
        });
    }
}

async fn until(timeout: Option<tokio::time::Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
