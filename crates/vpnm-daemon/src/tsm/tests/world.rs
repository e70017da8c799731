//! A model of everything outside the machine: disk, kernel, engine, servers.
//!
//! It carries out what the machine orders and checks at every order and after
//! every event what must never happen. What it knows of the machine is only what
//! comes out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use vpnm_api::engine::Established;
use vpnm_api::{Code, Failure, Goal, Note, ShareLink, State};

use crate::tsm::{
    Command, CommandId, Config, Effect, Event, Holes, HostWant, Lane, Loaded, Machine, Moment,
    Outcome, Output, Record, Ticket,
};

/// Where names are resolved.
pub(super) fn bootstrap() -> Holes {
    [
        "1.1.1.1:443".parse().unwrap(),
        "9.9.9.9:443".parse().unwrap(),
    ]
    .into_iter()
    .collect()
}

/// The world.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) machine: Machine,
    pub(super) now: Moment,
    /// The journal on disk.
    pub(super) disk: Record,
    /// The kernel.
    pub(super) kernel: HostWant,
    /// Somebody changed the kernel and the machine has not read it since.
    tampered: bool,
    pub(super) tun: bool,
    /// Connections to the server were made by a network that is no more.
    connections_broke: bool,
    /// The engine's process, if any, and the verified tunnel in it.
    pub(super) engine: Option<Option<ShareLink>>,
    /// What the machine has ordered and nobody has reported yet.
    pub(super) running: BTreeMap<u8, (Ticket, Effect)>,
    /// Commands without an answer.
    pub(super) unanswered: Vec<CommandId>,
    pub(super) replies: Vec<(CommandId, Result<(), Failure>)>,
    pub(super) exited: bool,
    /// One line for every order and every change of state.
    pub(super) log: Vec<String>,
    last_state: String,
}

impl World {
    /// A machine on a host where the disk says this and the kernel is like that.
    pub(super) fn booted(disk: Record, kernel: HostWant, unreadable: Option<Failure>) -> Self {
        Self::adopted(disk, kernel, unreadable, false)
    }

    /// As [`World::booted`], perhaps with the TUN of the daemon before.
    fn adopted(disk: Record, kernel: HostWant, unreadable: Option<Failure>, tun: bool) -> Self {
        let disk = match unreadable {
            Some(_) => Record::unreadable(),
            None => disk,
        };
        let record = disk.clone();
        let config = Config {
            bootstrap: bootstrap(),
        };
        let routed = tun && matches!(kernel, HostWant::Tunnel(_));
        let loaded = Loaded {
            record,
            unreadable,
            tun,
            routed,
        };
        let mut world = Self {
            machine: Machine::new(config, loaded),
            now: Moment::default(),
            disk,
            kernel,
            tampered: false,
            tun,
            connections_broke: false,
            engine: None,
            running: BTreeMap::new(),
            unanswered: Vec::new(),
            replies: Vec::new(),
            exited: false,
            log: Vec::new(),
            last_state: String::new(),
        };
        world.give(Event::Timer);
        world
    }

    /// A machine on a fresh host.
    pub(super) fn fresh() -> Self {
        Self::booted(Record::default(), HostWant::Open, None)
    }

    /// The daemon dies here and another starts: the kernel and the disk stay as
    /// they are, the TUN and the engine die with it.
    pub(super) fn crashed(self) -> Self {
        Self::booted(self.disk, self.kernel, None)
    }

    /// As [`World::crashed`], with the TUN in the service manager's store: the next
    /// daemon takes it over if the machine is to be secured.
    pub(super) fn crashed_with_store(self) -> Self {
        let tun = self.tun && self.disk.goal() == Goal::Secured;
        Self::adopted(self.disk, self.kernel, None, tun)
    }

    pub(super) fn state(&self) -> State {
        self.machine.state(self.now, 1_000_000)
    }

    /// What the user is told to type.
    pub(super) fn hints(&self) -> Vec<String> {
        let hints = self.machine.status(self.now, 1_000_000).hints;
        hints.iter().map(|hint| hint.as_str().to_owned()).collect()
    }

    /// Gives the machine an event and takes its orders.
    pub(super) fn give(&mut self, event: Event) {
        if let Event::Command(id, _) = &event {
            self.unanswered.push(*id);
        }
        if matches!(event, Event::EngineExited(_)) {
            self.engine = None;
        }
        self.connections_broke |= matches!(event, Event::NetworkChanged);
        if matches!(event, Event::TunLost) {
            self.tun = false;
        }
        for output in self.machine.step(event, self.now) {
            self.take(output);
        }
        if !self.tampered {
            self.check_state();
        }
        self.note_state();
    }

    fn take(&mut self, output: Output) {
        match output {
            Output::Run(ticket, effect) => self.take_order(ticket, effect),
            Output::Reply(id, result) => {
                let at = self.unanswered.iter().position(|waiting| *waiting == id);
                assert!(at.is_some(), "answered twice or never asked: {id:?}");
                self.unanswered.retain(|waiting| *waiting != id);
                let text = result.as_ref().map_or_else(|f| f.code.name(), |()| "ok");
                self.log.push(format!("  reply {} {text}", id.0));
                self.replies.push((id, result));
            }
            Output::Exit => self.exited = true,
        }
    }

    fn take_order(&mut self, ticket: Ticket, effect: Effect) {
        if !self.tampered {
            self.check_order(&effect);
        }
        self.log.push(format!("  {}", describe(&effect)));
        let lane = lane_number(&effect);
        if let Some((_, old)) = self.running.insert(lane, (ticket, effect)) {
            assert_eq!(
                old.lane(),
                Lane::Engine,
                "a host effect was aborted: {old:?}"
            );
        }
    }

    /// What must hold when an effect is ordered.
    fn check_order(&self, effect: &Effect) {
        let secured = self.disk.goal() == Goal::Secured;
        let blocked = self.kernel != HostWant::Open;
        match effect {
            Effect::Check | Effect::Remember(_) | Effect::StopEngine => {}
            Effect::Host(HostWant::Open) => {
                assert!(!secured, "opened while the disk says secured");
                assert!(
                    !self.tun && self.engine.is_none(),
                    "opened before the tunnel was gone"
                );
            }
            Effect::Host(HostWant::Blocked(_)) => assert!(secured, "blocked before remembered"),
            Effect::Host(HostWant::Tunnel(_)) => {
                assert!(secured && blocked, "routed before blocked");
                assert!(self.tun, "routed without an interface");
                let routed = matches!(self.kernel, HostWant::Tunnel(_));
                let verified = matches!(self.engine, Some(Some(_)));
                assert!(routed || verified, "routed before verified");
            }
            Effect::OpenTun => assert!(secured && blocked && !self.tun),
            Effect::CloseTun => assert!(!secured, "the interface closed while secured"),
            Effect::StartEngine => assert!(secured && blocked && self.tun && self.engine.is_none()),
            Effect::Resolve(_) => self.check_holes(&bootstrap()),
            Effect::Connect {
                server,
                addresses,
                keep,
            } => {
                assert!(secured && blocked);
                assert!(!keep || !self.connections_broke, "kept what leads nowhere");
                self.check_holes(&Holes::on_port(addresses, server.0.server.port));
            }
        }
    }

    fn check_holes(&self, needed: &Holes) {
        assert!(self.engine.is_some(), "asked an engine that does not run");
        let open = self.kernel.holes().expect("asked the engine while open");
        assert!(open.contain(needed), "{needed:?} not among {open:?}");
    }

    /// What must hold after every event.
    fn check_state(&self) {
        let blocked = self.kernel != HostWant::Open;
        match self.state() {
            State::Connected(_) => {
                assert_eq!(self.disk.goal(), Goal::Secured);
                assert!(self.disk.connect, "connected though it is not wanted");
                assert!(self.tun, "connected without an interface");
                assert_eq!(
                    self.engine,
                    Some(self.disk.server.clone()),
                    "connected elsewhere: {:?}",
                    self.log
                );
                let server = self.disk.server.as_ref().expect("connected to nobody");
                let holes = self.kernel.holes().expect("connected while open");
                let port = server.0.server.port;
                assert!(holes.iter().all(|hole| hole.port() == port
                    && !bootstrap().contain(&[hole].into_iter().collect())));
                assert!(matches!(self.kernel, HostWant::Tunnel(_)));
            }
            State::Reconnecting { .. } | State::Blocked { .. } => {
                assert!(
                    blocked || self.disk.goal() == Goal::Open,
                    "not blocked as claimed"
                );
            }
            State::Disconnected => {
                assert_eq!(self.kernel, HostWant::Open);
                assert!(!self.tun && self.engine.is_none(), "{:?}", self.log);
            }
            State::Connecting { .. } | State::Disconnecting | State::Unprotected { .. } => {}
        }
    }

    fn note_state(&mut self) {
        let text = describe_state(&self.state());
        if text != self.last_state {
            self.log.push(format!("{text}:"));
            self.last_state = text;
        }
    }

    /// Somebody else changes the kernel; nobody has told the machine yet.
    pub(super) fn tamper(&mut self, kernel: HostWant) {
        self.kernel = kernel;
        self.tampered = true;
    }

    /// Ends the running effect of a lane as a sound world would.
    pub(super) fn finish(&mut self, lane: Lane) -> bool {
        let Some((ticket, effect)) = self.running.remove(&number(lane)) else {
            return false;
        };
        let outcome = self.carry_out(effect);
        self.give(Event::Done(ticket, outcome));
        true
    }

    /// Ends the running effect of a lane with a failure, before or after it took place.
    pub(super) fn fail(&mut self, lane: Lane, code: Code, took_place: bool) -> bool {
        let Some((ticket, effect)) = self.running.remove(&number(lane)) else {
            return false;
        };
        // A killed process is dead and a closed descriptor is closed, whatever is said of it.
        let cannot_fail = matches!(effect, Effect::StopEngine | Effect::CloseTun);
        if took_place || cannot_fail {
            self.carry_out(effect);
        }
        self.give(Event::Done(ticket, Outcome::Failed(code.into())));
        true
    }

    /// Carries everything out until nothing runs.
    pub(super) fn run(&mut self) {
        for _ in 0..100 {
            if !self.finish(Lane::Host) && !self.finish(Lane::Engine) {
                return;
            }
        }
        panic!("never comes to rest: {:?}", self.log);
    }

    /// Lets time pass to the next timer and carries everything out.
    pub(super) fn wait(&mut self) -> bool {
        let Some(at) = self.machine.poll_timeout() else {
            return false;
        };
        self.now = at.max(self.now);
        self.give(Event::Timer);
        self.run();
        true
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
    }

    fn carry_out(&mut self, effect: Effect) -> Outcome {
        match effect {
            Effect::Check => {}
            Effect::Remember(record) => self.disk = record,
            Effect::Host(want) => {
                let changes = u32::from(self.kernel != want);
                self.kernel = want;
                self.tampered = false;
                return Outcome::Applied(changes, Note::new("firewall"));
            }
            Effect::OpenTun => self.tun = true,
            Effect::CloseTun => self.tun = false,
            Effect::StartEngine => self.engine = Some(None),
            Effect::StopEngine => self.engine = None,
            Effect::Resolve(_) | Effect::Connect { .. } if self.engine.is_none() => {
                return Outcome::Failed(Code::EngineLost.into());
            }
            Effect::Resolve(_) => {
                return Outcome::Resolved(vec!["192.0.2.2".parse().unwrap()]);
            }
            Effect::Connect {
                server, addresses, ..
            } => {
                self.connections_broke = false;
                self.engine = Some(Some(server));
                return Outcome::Established(Established {
                    latency_ms: 7,
                    via: addresses[0],
                    resolver: "1.1.1.1".parse().unwrap(),
                });
            }
        }
        Outcome::Done
    }

    /// The answer to a command, if there is one yet.
    pub(super) fn reply(&self, id: u64) -> Option<Result<(), Code>> {
        let mine = self.replies.iter().find(|(of, _)| *of == CommandId(id));
        mine.map(|(_, result)| result.clone().map_err(|failure| failure.code))
    }

    pub(super) fn command(&mut self, id: u64, command: Command) {
        self.give(Event::Command(CommandId(id), command));
    }
}

fn number(lane: Lane) -> u8 {
    match lane {
        Lane::Host => 0,
        Lane::Engine => 1,
    }
}

fn lane_number(effect: &Effect) -> u8 {
    number(effect.lane())
}

fn describe_state(state: &State) -> String {
    match state {
        State::Connecting { step } => format!("connecting, {}", step.what()),
        State::Reconnecting {
            cause,
            attempt,
            retry_in_ms,
        } => format!(
            "reconnecting after {}, attempt {attempt} in {retry_in_ms} ms",
            cause.code.name()
        ),
        State::Blocked { cause } => format!("blocked: {}", cause.code.name()),
        State::Unprotected { cause } => format!("UNPROTECTED: {}", cause.code.name()),
        State::Connected(_) | State::Disconnected | State::Disconnecting => state.name().to_owned(),
    }
}

fn describe(effect: &Effect) -> String {
    match effect {
        Effect::Check => "check this host".to_owned(),
        Effect::Remember(r) => {
            let server = r.server.as_ref().map_or("nobody", |s| &s.0.name);
            let lockdown = if r.lockdown { ", lockdown" } else { "" };
            let connect = if r.connect {
                "connect to"
            } else {
                "no tunnel, last"
            };
            format!("remember: {connect} {server}{lockdown}")
        }
        Effect::Host(HostWant::Open) => "host: open".to_owned(),
        Effect::Host(HostWant::Blocked(holes)) => format!("host: blocked but {holes:?}"),
        Effect::Host(HostWant::Tunnel(holes)) => format!("host: tunnel and {holes:?}"),
        Effect::OpenTun => "open the interface".to_owned(),
        Effect::CloseTun => "close the interface".to_owned(),
        Effect::StartEngine => "start the engine".to_owned(),
        Effect::StopEngine => "stop the engine".to_owned(),
        Effect::Resolve(host) => format!("resolve {host}"),
        Effect::Connect {
            server,
            addresses,
            keep,
        } => {
            let verb = if *keep { "verify" } else { "connect to" };
            format!("{verb} {} at {addresses:?}", server.0.name)
        }
    }
}
