//! The driver: protects a client, attacks it as a row says, counts what left.

use std::io;
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use vpnm_world::addresses::{LAN_LINK, NEIGHBOUR, NODE, NODE_SECOND};
use vpnm_world::capture::Tally;
use vpnm_world::probe::{Attempts, Kind, Plan, Prober};
use vpnm_world::{Process, Signal, User};

use super::crash;
use super::flows::Flows;
use super::protection::{Peer, Protection};
use super::service::Flow;
use super::{Aftermath, Row, Step};
use crate::machine;
use crate::programs::{self, Programs};
use crate::report::{Line, PAIRS, Service};
use crate::resolver::{NetworkManager, Resolved};
use crate::session::Session;

/// Probes a second while somebody carries them: each connection among them
/// costs two handshakes and a relay.
const GENTLE: u32 = 6_000;
/// Probes a second while nobody does.
const FAST: u32 = 60_000;
/// Probes a second where few are asked for.
const SLOW: u32 = 500;
/// In how many seconds gentle probes should be done, where few are asked for.
const UNHURRIED: u64 = 4;
/// Longest a step's share of the probes may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// How reports of group membership are called.
const MEMBERSHIP: [&str; 2] = ["protocol 2 ", "icmp6 type 143 "];
/// All that vpnm-boot.service runs, before the network.
const BOOT: &str = "/run/lab/vpnm daemon --block";
const REPLACE: &str = "cp /run/lab/vpnm /run/lab/next && umount -l /run/lab/vpnm && \
    mv /run/lab/next /run/lab/vpnm";
/// Succeeds once the machine is blocked.
const FILTER: &str = "nft list chain inet vpnm output";
/// An update, by name and by address: no part of it comes.
const NO_UPDATE: &str = "for url in https://site.example/address http://198.51.100.80/address; \
    do curl -sf -m 3 $url && exit 1; done; true";
/// It comes in both ways.
const UPDATE_COMES: &str = "for url in https://site.example/address http://198.51.100.80/address; \
    do curl -sf -m 9 $url || exit 1; done";
/// Longest a page may take while everything is probed.
const LONGEST_PAGE: Duration = Duration::from_secs(90);

/// Held by the row whose service is measured.
static MEASURING: Mutex<()> = Mutex::new(());

/// What a drill is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What protects the client.
    pub protection: Protection,
    /// Probes of each group of kinds.
    pub probes: u64,
    /// A file for everything that was on the wire.
    pub record: Option<&'a Path>,
}

struct Drill<'a> {
    /// Ends first: with nobody to carry what still goes on.
    programs: Vec<Process>,
    resolved: Option<Resolved>,
    manager: Option<NetworkManager>,
    peer: Option<Peer>,
    session: Session,
    asked: Asked<'a>,
    prober: Option<Prober>,
    flows: Flows,
    row: &'a Row,
}

/// Runs a row and says what each group of kinds did.
///
/// # Errors
///
/// When the program under test does not do its part; leaks are no error, they
/// are in the lines.
pub fn run(row: &Row, asked: Asked<'_>) -> Result<Vec<Line>> {
    machine::need(&["ip", "nft", "curl"])?;
    let session = Session::begin(asked.record)?;
    let mut drill = Drill {
        programs: Vec::new(),
        resolved: None,
        manager: None,
        peer: None,
        session,
        asked,
        prober: None,
        flows: Flows::default(),
        row,
    };
    drill.steps(row.before, 0)?;
    let opened = drill.protect()?;
    drill.prober = Some(drill.start_probes()?);
    let parts = u64::try_from(row.attack.len() + 1)?;
    let share = asked.probes.div_ceil(parts);
    drill.await_turns(share)?;
    drill.steps(row.attack, share)?;
    drill.await_shots(asked.probes)?;
    let attempts = drill.prober.take().context("the prober is gone")?.stop();
    let service = drill.service().context("service under attack")?;
    let tally = drill.session.capture().tally()?.since(&opened);
    let mut lines = Line::of((row.number, row.name), row.groups(), &attempts, &tally);
    if let Some(line) = lines.last_mut() {
        line.service = service;
    }
    if asked.protection == Protection::Product && tally.leaked() == 0 {
        let missed = drill.finish(&opened)?;
        if let Some(line) = lines.last_mut() {
            line.unaccounted = line.unaccounted.max(missed);
        }
    }
    Ok(lines)
}

impl Drill<'_> {
    /// Puts the protection in force, and says what had left until then: all that
    /// leaves later is its fault.
    fn protect(&mut self) -> Result<Tally> {
        self.peer = Peer::raise(self.asked.protection, &self.session)?;
        if self.peer.is_some() {
            return Ok(self.session.capture().tally()?);
        }
        self.session.start_daemon()?;
        let opened = if self.row.before.iter().any(Step::starts_senders) {
            self.connect_among_senders()?
        } else {
            let quiet = self.session.capture().tally()?;
            self.session.connect()?;
            quiet
        };
        self.session.check_tunnel()?;
        Ok(opened)
    }

    /// Connects while others send, who may until the machine is blocked: what
    /// had left is counted at the moment the filter is there.
    fn connect_among_senders(&self) -> Result<Tally> {
        let session = &self.session;
        thread::scope(|scope| {
            let connecting = scope.spawn(|| session.connect());
            while !connecting.is_finished() && machine::shell(session.client(), FILTER).is_err() {}
            let blocked = session.capture().tally()?;
            connecting
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok(blocked)
        })
    }

    fn start_probes(&self) -> io::Result<Prober> {
        let plan = Plan {
            server: self.session.server(),
            groups: self
                .row
                .groups()
                .into_iter()
                .map(|(_, kinds)| kinds)
                .collect(),
            user: self.row.user,
            rate: self.pace(true),
        };
        Prober::start(self.session.client(), plan)
    }

    /// Probes a second, with or without somebody to carry them.
    fn pace(&self, carried: bool) -> u32 {
        let groups = u64::try_from(self.row.groups().len()).unwrap_or(1);
        let needed = u32::try_from(self.asked.probes * groups / UNHURRIED).unwrap_or(u32::MAX);
        let most = match self.asked.protection {
            Protection::Product | Protection::SingBox if carried => GENTLE,
            Protection::Product
            | Protection::SingBox
            | Protection::Rules
            | Protection::Nothing
            | Protection::WgQuick => FAST,
        };
        needed.clamp(SLOW, most)
    }

    fn set_carried(&self, carried: bool) {
        self.set_rate(self.pace(carried));
    }

    fn set_rate(&self, rate: u32) {
        if let Some(prober) = &self.prober {
            prober.set_rate(rate);
        }
    }

    /// What is left of service under attack, as a part of that without: none where that
    /// is not asked for.
    fn service(&mut self) -> Result<Option<Service>> {
        let of_product = self.asked.protection == Protection::Product;
        let Some(turns) = self.row.turns.filter(|_| of_product) else {
            return Ok(None);
        };
        self.set_rate(SLOW);
        // Rows that run at the same time would weigh on each other's slices.
        let _turn = MEASURING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = Vec::with_capacity(PAIRS);
        while pairs.len() < PAIRS {
            self.steps(turns.off, 0)?;
            let mut earlier = self.at_last(|| Ok(Flow::begin(&self.session)?))?;
            let without = earlier.slice().context("without it")?;
            self.steps(turns.on, 0)?;
            earlier.goes_on().context("begun without it")?;
            // Of the same age as the other one was: windows grow.
            drop(earlier);
            let mut later = Flow::begin(&self.session).context("begun under it")?;
            let under = later.slice().context("under it")?;
            pairs.push((without, under));
        }
        Ok(Some(Service::of(&pairs)))
    }

    /// Takes the steps in order; after each, waits for `share` more turns.
    fn steps(&mut self, steps: &[Step], share: u64) -> Result<()> {
        for step in steps {
            let turns = self.fewest(Attempts::turns).map_or(0, |(turns, _)| turns);
            self.step(*step).with_context(|| format!("{step:?}"))?;
            self.await_turns(turns + share)?;
        }
        Ok(())
    }

    /// The kind that did least of what `count` counts, as if all of its group had
    /// done as little: how much that is.
    fn fewest(&self, count: fn(Attempts) -> u64) -> Option<(u64, Kind)> {
        let attempts = self.prober.as_ref()?.attempts();
        let groups = self.row.groups().into_iter();
        let counts = groups.flat_map(|(_, kinds)| {
            let ways = u64::try_from(kinds.len()).unwrap_or(u64::MAX);
            let attempts = &attempts;
            kinds.into_iter().map(move |kind| {
                let done = attempts.get(&kind).copied().unwrap_or_default();
                (count(done) * ways, kind)
            })
        });
        counts.min()
    }

    /// Waits for so many turns of each group, in which probes were fired if they
    /// could be: while an interface is gone, some cannot.
    fn await_turns(&self, turns: u64) -> Result<()> {
        self.await_probes(turns, Attempts::turns)
    }

    /// Waits until so many probes of each group were really fired, and of each of
    /// its kinds an equal share.
    fn await_shots(&self, shots: u64) -> Result<()> {
        self.await_probes(shots, |did| did.attempted)
    }

    fn await_probes(&self, least: u64, count: fn(Attempts) -> u64) -> Result<()> {
        if self.prober.is_none() {
            return Ok(());
        }
        let done = || {
            let fewest = self.fewest(count).map_or(0, |(fewest, _)| fewest);
            Ok((fewest >= least).then_some(()))
        };
        machine::wait_for("probes to be fired", PATIENCE, done)
            .with_context(|| format!("of {least} probes, {:?}", self.fewest(count)))
    }

    fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Probe => Ok(()),
            Step::KillEngine => self.signal_engine(Signal::KILL),
            Step::StopEngine => self.signal_engine(Signal::STOP),
            Step::ContinueEngine => self.signal_engine(Signal::CONT),
            Step::KillDaemon => self.end_daemon(Signal::KILL),
            Step::EndDaemon => self.end_daemon(Signal::TERM),
            Step::StartDaemon => self.start_daemon(),
            Step::StopDaemon => self.signal_daemon(Signal::STOP),
            Step::ContinueDaemon => self.signal_daemon(Signal::CONT),
            Step::ByName => {
                self.session.by_name();
                Ok(())
            }
            Step::Switch => self.switch(),
            Step::EndNode => {
                self.session.end_node();
                Ok(())
            }
            Step::LoseServer => self.session.lose_server(),
            Step::MoveServer { other } => self.session.move_server(other),
            Step::Fetch { comes: true } => self.at_last(|| self.fetch(UPDATE_COMES)),
            Step::Fetch { comes: false } => self.fetch(NO_UPDATE),
            Step::Order(user, words) => self.order(user, words),
            Step::BlockAtBoot | Step::Replace if self.peer.is_some() => Ok(()),
            Step::BlockAtBoot => machine::shell(self.session.client(), BOOT).map(drop),
            Step::Replace => machine::shell(self.session.client(), REPLACE).map(drop),
            Step::Client(script) => machine::shell(self.session.client(), script).map(drop),
            Step::Router(script) => machine::shell(self.session.world().router(), script).map(drop),
            Step::Programs => self.show_programs(),
            Step::RouterPrograms => Programs::daemons()?.show(self.session.world().router()),
            Step::Start(script) => {
                let program = machine::start(self.session.client(), script)?;
                self.programs.push(program);
                Ok(())
            }
            Step::StartRouter(script) => {
                let program = machine::start(self.session.world().router(), script)?;
                self.programs.push(program);
                Ok(())
            }
            Step::Resolved => self.start_resolved(),
            Step::RestartResolved => {
                let resolved = self.resolved.as_mut().context("there is none")?;
                resolved.restart(self.session.client())
            }
            Step::NetworkManager => self.start_manager(),
            Step::EndPrograms => {
                self.programs.clear();
                (self.resolved, self.manager) = (None, None);
                Ok(())
            }
            Step::Crash => self.crash(),
            Step::OtherGateway => {
                self.session.capture().permit_gateway(NEIGHBOUR);
                Ok(())
            }
            Step::Advertise => self.advertise(),
            Step::Wait(time) => {
                thread::sleep(time);
                Ok(())
            }
            Step::Expect(states) => self.expect(states),
            Step::Check => self.check(),
            Step::OpenFlows => self.flows.open(&self.session),
            Step::WriteFlows => {
                self.flows.write();
                Ok(())
            }
            Step::DropFlows => {
                self.flows.drop_all();
                Ok(())
            }
        }
    }

    /// Everybody fetches an update, each by this script.
    fn fetch(&self, script: &str) -> Result<()> {
        let users = [User::Root, User::Alice, User::Mallory];
        users.into_iter().try_for_each(|user| {
            let said = machine::shell_as(self.session.client(), user, script);
            said.map(drop).with_context(|| format!("{user:?}"))
        })
    }

    fn order(&self, user: User, words: &[&str]) -> Result<()> {
        let output = self.session.vpnm(user, words)?;
        ensure!(output.status.success(), "vpnm {words:?}: {output:?}");
        Ok(())
    }

    fn show_programs(&mut self) -> Result<()> {
        let client = self.session.client();
        Programs::daemons()?.show(client)?;
        self.programs.push(programs::start_bus(client)?);
        self.session.take_for_usual()
    }

    fn start_resolved(&mut self) -> Result<()> {
        self.resolved = Some(Resolved::start(self.session.client())?);
        self.session.take_for_usual()
    }

    fn start_manager(&mut self) -> Result<()> {
        self.manager = Some(NetworkManager::start(self.session.client())?);
        self.session.take_for_usual()
    }

    fn signal_engine(&mut self, signal: Signal) -> Result<()> {
        // A killed one is replaced at once.
        self.set_carried(signal != Signal::STOP);
        match &mut self.peer {
            None => self.session.signal_engine(signal),
            Some(peer) => peer.signal(&self.session, signal),
        }
    }

    fn end_daemon(&mut self, signal: Signal) -> Result<()> {
        self.set_carried(false);
        match &mut self.peer {
            Some(peer) => peer.end(signal),
            None if signal == Signal::KILL => self.session.kill_daemon(),
            None => self.session.end_daemon(),
        }
    }

    fn signal_daemon(&self, signal: Signal) -> Result<()> {
        match self.peer {
            None => self.session.signal_daemon(signal),
            Some(_) => Ok(()),
        }
    }

    fn start_daemon(&mut self) -> Result<()> {
        self.set_carried(true);
        match &mut self.peer {
            None => self.session.start_daemon(),
            Some(peer) => peer.restart(&self.session),
        }
    }

    fn crash(&mut self) -> Result<()> {
        if self.peer.is_some() {
            return Ok(());
        }
        self.set_carried(false);
        crash::everywhere(&mut self.session)?;
        self.set_carried(true);
        Ok(())
    }

    fn switch(&self) -> Result<()> {
        if self.peer.is_some() {
            return Ok(());
        }
        let other = NODE_SECOND.v4.to_string();
        for link in [
            self.session.link().replace(&NODE.v4.to_string(), &other),
            self.session.link().to_owned(),
        ] {
            self.session.command(&["connect", &link])?;
            self.carries_a_page()?;
        }
        Ok(())
    }

    fn expect(&self, states: &[&str]) -> Result<()> {
        if self.peer.is_some() {
            return Ok(());
        }
        self.session.wait_for_state(states)?;
        if states == ["connected"] {
            self.carries_a_page()
        } else {
            Ok(())
        }
    }

    fn check(&self) -> Result<()> {
        if self.peer.is_some() {
            return Ok(());
        }
        let report = self.session.check_leaks()?;
        ensure!(report.attempts > 0, "nothing was tried: {report:?}");
        ensure!(report.leaked.is_empty(), "got out: {:?}", report.leaked);
        Ok(())
    }

    /// Whether a page comes through the tunnel at last: it shares the machine
    /// with the probes, and routes learnt anew may take a moment to be in use.
    fn carries_a_page(&self) -> Result<()> {
        self.at_last(|| self.session.check_tunnel())
    }

    /// Tries until it works; where it does not at once, probes come slowly
    /// meanwhile, as the machine has more to do than it can.
    fn at_last<T>(&self, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            match attempt() {
                Ok(done) => {
                    self.set_carried(true);
                    return Ok(done);
                }
                Err(error) if start.elapsed() > LONGEST_PAGE => return Err(error),
                Err(_) => self.set_rate(SLOW),
            }
        }
    }

    fn advertise(&self) -> Result<()> {
        let site = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0);
        let prefixes = [(site, 64), (Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0), 1)];
        let router = self.session.world().router();
        Ok(machine::advertise(router, LAN_LINK, &prefixes)?)
    }

    /// The aftermath: the tunnel or the closed machine, and the client as it
    /// was before anything was done to it. Says how many frames nobody can vouch for.
    fn finish(mut self, opened: &Tally) -> Result<u64> {
        let row = self.row;
        self.steps(row.undo, 0)?;
        self.flows.drop_all();
        match row.aftermath {
            Aftermath::Connected => {
                self.session.wait_for_state(&["connected"])?;
                self.carries_a_page().context("after the attack was over")?;
                let mut last = self.session.end()?.since(opened);
                // An open machine may tell which groups it is in.
                last.leaks
                    .retain(|what, _| !MEMBERSHIP.iter().any(|kind| what.starts_with(kind)));
                if last.leaked() > 0 {
                    bail!("left until the disconnection: {:?}", last.leaks);
                }
                Ok(last.dropped + last.unknown)
            }
            Aftermath::Closed => self.reopen().map(|()| 0),
        }
    }

    /// Nothing gets out until root says so; then everything is as before.
    fn reopen(mut self) -> Result<()> {
        if self.session.check_tunnel().is_ok() {
            bail!("the machine is open, though there is no tunnel");
        }
        if self.session.daemon_pid().is_ok() {
            self.session.kill_daemon()?;
        }
        let output = self.session.vpnm(User::Root, &["cleanup"])?;
        if !output.status.success() {
            bail!("vpnm cleanup: {}", String::from_utf8_lossy(&output.stderr));
        }
        self.session.check_restored()
    }
}
