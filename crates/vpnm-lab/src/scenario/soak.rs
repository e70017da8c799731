//! A soak: faults in an order that a seed gives, over the traffic of a program
//! and probes of every kind; every frame on the wire is judged.

mod fault;
mod report;
mod schedule;
mod traffic;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::{Pid, Resource, Rlimit};
use vpnm_world::addresses::{LAN_LINK, NEIGHBOUR, NODE, NODE_SECOND};
use vpnm_world::probe::{Class, Kind, Plan, Prober};
use vpnm_world::{Process, Signal, User};

use self::fault::Deed;
pub use self::report::{Probes, Report, Times};
use self::schedule::{Event, Turn, schedule};
use self::traffic::Traffic;
pub use self::watch::{Finding, Gap};
use self::watch::{Sight, Watch};
use crate::machine;
use crate::session::Session;

/// Probes a second at first.
const PACE: u32 = 2_000;
/// Time between two looks at the wire.
const ROUND: Duration = Duration::from_millis(100);
/// What had happened last is told with what left, so many things of it.
const REMEMBERED: usize = 8;
/// Longest the program may take over what is not a fault of others.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest until a keeper is missed: the daemon looks every 30 s if nothing else happens.
const MISSED: Duration = Duration::from_secs(45);
/// Longest a page may take at last, on a machine that has other things to do.
const LONGEST_PAGE: Duration = Duration::from_secs(90);
/// How long a fault is dealt with: who wants to have watched it sees all of that.
const CONSEQUENCES: Duration = Duration::from_secs(1);
/// How long a fault lasts that is repeated.
const REPEAT: Duration = Duration::from_millis(500);
/// How long the machine stays open when a user disconnects, at least.
const WAIT: Duration = Duration::from_millis(20);
/// Probes a second of a container. Half of them are connections, and each costs the
/// server, which shares this machine, a handshake.
const PACE_BEHIND: u32 = 100;
/// A bridge of the client's for a container, which the client forwards for.
const CONTAINER_COMES: &str = "ip link add br9 type bridge && ip link set box0 master br9 && \
    ip addr add 172.18.0.1/24 dev br9 && ip -6 addr add fd00:18::1/64 dev br9 nodad && \
    ip link set br9 up && ip link set box0 up && echo 1 > /proc/sys/net/ipv4/ip_forward";
/// Nothing of it is left. Its cable goes with the container, which is gone by then, at a
/// time of the kernel's choice.
const CONTAINER_GOES: &str =
    "ip link del br9 && { ip link del box0 || true; } && echo 0 > /proc/sys/net/ipv4/ip_forward";
/// Connections that a stranger tries for.
const CROWD: usize = 400;
/// Where the control plane is called.
const SOCKET: &str = "/run/vpnm/vpnmd.sock";
/// Succeeds while the machine is blocked.
const FILTER: &str = "nft list chain inet vpnm output";
/// Succeeds while frames of packet sockets are stopped, whatever the interface
/// is called.
const EGRESS: &str = "nft list table netdev vpnm | grep -q \"$(ip -o link show | grep -oE 'eth0|wan0' | head -n 1)\"";

/// A fault's name, and which time of its.
type Occurrence = (&'static str, u64);

struct Soak {
    /// Commands of users under way: none is waited for.
    orders: Vec<Process>,
    prober: Prober,
    /// Probes of a container, which the client forwards.
    behind: Prober,
    traffic: Traffic,
    watch: Watch,
    session: Session,
    /// The data plane's number, while it is stopped.
    stopped_engine: Option<u32>,
    /// The number of the process that kept the packet filter, when it was killed.
    killed_keeper: Option<u32>,
    frames_held: bool,
    /// Descriptors the control plane might open before that was limited.
    usual: Option<Rlimit>,
    /// Connections of a stranger to the control plane.
    crowd: Vec<OwnedFd>,
    started: Instant,
    looked: Instant,
    recent: VecDeque<(Instant, String)>,
    /// How often each fault happened.
    faults: BTreeMap<&'static str, u64>,
    /// What came or went and may still have consequences, and when.
    fresh: Vec<(Instant, Occurrence)>,
    /// What happened while frames were lost.
    unwatched: BTreeSet<Occurrence>,
}

/// Runs the faults of `seed` for `length`, then puts everything right, connects
/// and disconnects. With a path, what was on the wire is recorded there.
///
/// # Errors
///
/// When the program under test does not do its part; leaks are no error, they
/// are in the report.
pub fn soak(seed: u64, length: Duration, record: Option<&Path>) -> Result<Report> {
    machine::need(&["conntrack", "ip", "nft"])?;
    let mut soak = Soak::begin(record)?;
    for event in schedule(seed, length) {
        soak.wait_until(event.at)?;
        soak.meet(&event)
            .with_context(|| format!("seed {seed}: {:?} {}", event.turn, event.fault.name))
            .with_context(|| soak.story())
            .with_context(|| soak.watch.told())?;
    }
    soak.repeat_unwatched()?;
    soak.end(seed)
}

impl Soak {
    fn begin(record: Option<&Path>) -> Result<Self> {
        let mut session = Session::begin(record)?;
        // Routes lead to the LAN's other device now and then, which may be asked for.
        session.capture().permit_gateway(NEIGHBOUR);
        let learn = "echo 128 > /proc/sys/net/ipv6/conf/eth0/accept_ra_rt_info_max_plen";
        machine::shell(session.client(), learn)?;
        session.take_for_usual()?;
        let container = session.world().add_container("box0")?;
        machine::shell(session.client(), CONTAINER_COMES)?;
        session.start_daemon()?;
        let watch = Watch::start(Sight {
            tally: session.capture().tally()?,
            ..Sight::default()
        });
        session.connect()?;
        let plan = Plan {
            rate: PACE,
            ..Plan::everything(session.server())
        };
        let now = Instant::now();
        Ok(Self {
            orders: Vec::new(),
            behind: Prober::start(&container, of_container(session.server()))?,
            prober: Prober::start(session.client(), plan)?,
            traffic: Traffic::start(session.client())?,
            watch,
            session,
            stopped_engine: None,
            killed_keeper: None,
            frames_held: false,
            usual: None,
            crowd: Vec::new(),
            started: now,
            looked: now,
            recent: VecDeque::new(),
            faults: BTreeMap::new(),
            fresh: Vec::new(),
            unwatched: BTreeSet::new(),
        })
    }

    fn at_ms(&self) -> Result<u64> {
        Ok(u64::try_from(self.started.elapsed().as_millis())?)
    }

    fn wait_until(&mut self, at: Duration) -> Result<()> {
        loop {
            if self.looked.elapsed() >= ROUND {
                self.look()?;
            }
            let left = at.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(ROUND / 4));
        }
    }

    fn see(&self) -> Result<Sight> {
        Ok(Sight {
            at_ms: self.at_ms()?,
            before: self.prober.attempts(),
            tally: self.session.capture().tally()?,
            after: self.prober.attempts(),
        })
    }

    /// Once more, one after another, what happened unwatched.
    fn repeat_unwatched(&mut self) -> Result<()> {
        let names: BTreeSet<&str> = self.unwatched.iter().map(|(name, _)| *name).collect();
        for fault in fault::all().filter(|fault| names.contains(fault.name)) {
            for turn in [Turn::Begins, Turn::Ends] {
                let at = self.started.elapsed();
                self.meet(&Event { at, turn, fault })
                    .with_context(|| format!("again: {turn:?} {}", fault.name))?;
                self.wait_until(at + REPEAT)?;
            }
        }
        self.wait_until(self.started.elapsed() + CONSEQUENCES)
    }

    /// Looks at the wire, and lets frames go again when they may.
    fn look(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let story = self.story();
        let lines: Vec<String> = story.lines().map(str::to_owned).collect();
        let sight = self.see()?;
        if !self.watch.look(sight, &lines) {
            let fresh = self.fresh.drain(..);
            self.unwatched.extend(fresh.map(|(_, what)| what));
        }
        self.fresh.retain(|(when, _)| when.elapsed() < CONSEQUENCES);
        if self.frames_held && machine::shell(self.session.client(), EGRESS).is_ok() {
            self.frames_held = false;
            self.prober.hold_frames(false);
        }
        self.orders
            .retain_mut(|order| matches!(order.try_wait(), Ok(None)));
        Ok(())
    }

    /// What happened last, a line each.
    fn story(&self) -> String {
        let lines = self.recent.iter().map(|(when, what)| {
            let ago = when.elapsed().as_secs_f64();
            format!("{what}, {ago:.2} s before")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn meet(&mut self, event: &Event) -> Result<()> {
        let (deeds, word) = match event.turn {
            Turn::Begins => (event.fault.begin, "began"),
            Turn::Ends => (event.fault.end, "ended"),
        };
        if event.turn == Turn::Begins {
            *self.faults.entry(event.fault.name).or_default() += 1;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        let what = format!("\"{}\" {word}", event.fault.name);
        self.recent.push_back((Instant::now(), what));
        let name = event.fault.name;
        let occurrence = (name, self.faults.get(name).copied().unwrap_or(0));
        self.fresh.push((Instant::now(), occurrence));
        deeds.iter().try_for_each(|deed| self.act(*deed))
    }

    fn act(&mut self, deed: Deed) -> Result<()> {
        match deed {
            Deed::Engine(signal) => {
                self.signal_engine(signal);
                Ok(())
            }
            Deed::Daemon(signal) => self.signal_daemon(signal),
            Deed::Start => self.session.launch_daemon(&[]),
            Deed::Descriptors { none: true } => {
                self.usual = Some(self.limit(Resource::Nofile, 0)?);
                Ok(())
            }
            Deed::Descriptors { none: false } => {
                let usual = self.usual.take().and_then(|usual| usual.current);
                let most = usual.unwrap_or(u64::MAX);
                self.limit(Resource::Nofile, most).map(drop)
            }
            Deed::NoEngineDescriptors => {
                // There may be none: it is being replaced.
                if let Ok(engine) = self.session.engine_pid() {
                    limit(engine, Resource::Nofile, 0).ok();
                }
                Ok(())
            }
            Deed::KillKeeper => {
                self.killed_keeper = self.session.keeper_pid().ok();
                kill(self.killed_keeper, Signal::KILL);
                Ok(())
            }
            Deed::AwaitKeeper => self.await_keeper(),
            Deed::NoMemory => self.limit(Resource::As, 0).map(drop),
            Deed::AwaitDaemon => self.await_daemon(),
            Deed::Client(script) => machine::shell(self.session.client(), script).map(drop),
            Deed::Router(script) => machine::shell(self.session.world().router(), script).map(drop),
            Deed::Advertise => self.advertise(),
            Deed::Order(words) => self.order(User::Alice, words),
            Deed::Connect { other } => self.connect(other),
            Deed::LockDown => self.session.command(&["lockdown", "on"]).map(drop),
            Deed::LiftLockdown => self.lift_lockdown(),
            Deed::Open => self.open(),
            Deed::Crowd => self.crowd(),
            Deed::CrowdGoes => {
                self.crowd.clear();
                Ok(())
            }
            Deed::HoldFrames => {
                self.frames_held = true;
                self.prober.hold_frames(true);
                Ok(())
            }
            Deed::Pace(rate) => {
                self.prober.set_rate(rate);
                Ok(())
            }
        }
    }

    /// There may be none: it is being replaced, or the control plane is away.
    fn signal_engine(&mut self, signal: Signal) {
        let pid = if signal == Signal::CONT {
            self.stopped_engine.take()
        } else {
            self.session.engine_pid().ok()
        };
        if signal == Signal::STOP {
            self.stopped_engine = pid;
        }
        kill(pid, signal);
    }

    fn signal_daemon(&mut self, signal: Signal) -> Result<()> {
        self.session.signal_daemon(signal)?;
        if [Signal::STOP, Signal::CONT].contains(&signal) {
            return Ok(());
        }
        let status = self.session.end_of_daemon(PATIENCE)?;
        let status = status.context("the daemon does not end")?;
        // A daemon that has only just begun does not know the signal yet, and one
        // without memory has ended before it.
        let by_signal = [signal, Signal::ABORT]
            .iter()
            .any(|signal| status.signal() == Some(signal.as_raw()));
        ensure!(
            by_signal || status.success(),
            "the daemon ended with {status}"
        );
        Ok(())
    }

    /// What the control plane may have of something from now on; what it might.
    fn limit(&self, of: Resource, most: u64) -> Result<Rlimit> {
        limit(self.session.daemon_pid()?, of, most)
    }

    fn await_keeper(&mut self) -> Result<()> {
        let Some(killed) = self.killed_keeper.take() else {
            return Ok(());
        };
        machine::wait_for("another keeper", MISSED, || {
            let keeper = self.session.keeper_pid().ok();
            Ok(keeper.filter(|keeper| *keeper != killed).map(drop))
        })
    }

    /// As many connections as can be had, up to far more than anybody needs;
    /// there may be none.
    fn crowd(&mut self) -> Result<()> {
        let client = self.session.client();
        self.crowd = client.run_as(User::Mallory, || {
            let address = SocketAddrUnix::new(SOCKET)?;
            let connection = |_| {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let socket =
                    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
                rustix::net::connect(&socket, &address).ok()?;
                rustix::net::send(&socket, b"{\"method\":", SendFlags::NOSIGNAL).ok()?;
                Some(socket)
            };
            Ok((0..CROWD).filter_map(connection).collect())
        })?;
        Ok(())
    }

    fn await_daemon(&self) -> Result<()> {
        machine::wait_for("the daemon to answer", PATIENCE, || {
            Ok(self.session.status().ok().map(drop))
        })
    }

    fn advertise(&self) -> Result<()> {
        let half = Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0);
        let router = self.session.world().router();
        match machine::advertise(router, LAN_LINK, &[(half, 1)]) {
            // The interface at the other end is down: nobody would hear it.
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// A command of a user's that nobody waits for.
    fn order(&mut self, user: User, words: &[&str]) -> Result<()> {
        self.orders.push(self.session.start_command(user, words)?);
        Ok(())
    }

    fn answers(&self, goal: &str) -> bool {
        let status = self.session.status();
        status.is_ok_and(|status| status.get("goal").is_some_and(|is| is == goal))
    }

    /// Whether a tunnel is wanted, and not only lockdown.
    fn means_to_connect(&self) -> bool {
        let Ok(status) = self.session.status() else {
            return false;
        };
        let is_secured = status.get("goal").is_some_and(|goal| goal == "secured");
        let cause = status.pointer("/state/cause/code");
        is_secured && cause.is_none_or(|code| code != "lockdown")
    }

    /// Connects; returns when the daemon knows that it is meant to.
    fn connect(&mut self, other: bool) -> Result<()> {
        let second = SocketAddr::new(NODE_SECOND.v4.into(), 443).ip().to_string();
        let link = self.session.link().to_owned();
        let link = if other {
            link.replace(&NODE.v4.to_string(), &second)
        } else {
            link
        };
        if self.watch.is_open() {
            self.await_orders()?;
            // What a dead daemon began another goes on with: it opens the machine
            // now, or never.
            machine::wait_for("the machine to be open or blocked", PATIENCE, || {
                let is_open = self
                    .session
                    .state()
                    .is_ok_and(|name| name == "disconnected");
                Ok((is_open || self.answers("secured")).then_some(()))
            })?;
        }
        let start = Instant::now();
        loop {
            self.order(User::Alice, &["connect", &link])?;
            if self.watch.is_open() {
                self.close()?;
            }
            // Unwatched, the rest of the soak would find nothing and prove nothing.
            if !self.watch.is_open() && self.means_to_connect() {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "the daemon does not connect");
            thread::sleep(ROUND);
        }
    }

    /// Waits for the block, if it comes, and watches from then on.
    fn close(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < WAIT * 50 {
            if machine::shell(self.session.client(), FILTER).is_ok() {
                self.watch.close(self.see()?);
                return Ok(());
            }
        }
        Ok(())
    }

    fn await_orders(&mut self) -> Result<()> {
        let mut orders = std::mem::take(&mut self.orders);
        machine::wait_for("the users' commands", PATIENCE, || {
            orders.retain_mut(|order| matches!(order.try_wait(), Ok(None)));
            Ok(orders.is_empty().then_some(()))
        })
    }

    fn lift_lockdown(&mut self) -> Result<()> {
        ensure!(self.answers("secured"), "the daemon forgot its goal");
        self.order(User::Root, &["lockdown", "off"])?;
        self.await_orders()
    }

    /// A user disconnects; what leaves from now on may.
    fn open(&mut self) -> Result<()> {
        self.look()?;
        self.watch.open(self.session.capture().tally()?);
        self.order(User::Alice, &["disconnect"])
    }

    /// Everything is right again: the tunnel is back, and then the machine is as
    /// it was.
    fn end(mut self, seed: u64) -> Result<Report> {
        self.prober.set_rate(PACE / 4);
        self.behind.set_rate(PACE_BEHIND / 4);
        self.wait_until(self.started.elapsed() + ROUND)?;
        let story = self.story();
        self.connect(false)?;
        self.session
            .wait_for_state(&["connected"])
            .with_context(|| format!("seed {seed}, at the end"))
            .context(story)?;
        machine::wait_for("a page through the tunnel", LONGEST_PAGE, || {
            Ok(self.session.check_tunnel().ok())
        })
        .with_context(|| format!("seed {seed}, at the end"))
        .with_context(|| self.watch.told())?;
        self.look()?;
        let attempts = self.prober.stop();
        let carried = self.traffic.stop();
        let forwarded = self.behind.fired();
        drop(self.behind);
        let last = Sight {
            at_ms: u64::try_from(self.started.elapsed().as_millis())?,
            before: attempts.clone(),
            tally: self.session.capture().tally()?,
            after: attempts.clone(),
        };
        self.watch.look(last, &[]);
        let watched = self.watch.end();
        drop(self.orders);
        if watched.findings.is_empty() {
            machine::shell(self.session.client(), CONTAINER_GOES)?;
            self.session.end()?;
        }
        let report = Report {
            seed,
            seconds: self.started.elapsed().as_secs_f64(),
            faults: times(&self.faults, &self.unwatched),
            carried,
            forwarded,
            ..Report::default()
        };
        Ok(report.counted(&attempts, watched))
    }
}

/// What a container tries: everything that asks for no interface.
fn of_container(server: SocketAddr) -> Plan {
    let is_routed = |kind: &Kind| {
        use Class::{Device, Multicast, Packet, Source};
        ![Device, Multicast, Packet, Source].contains(&kind.class())
            && ![Kind::DnsLinkLocal, Kind::DnsStub].contains(kind)
    };
    Plan {
        groups: vec![Kind::ALL.into_iter().filter(is_routed).collect()],
        rate: PACE_BEHIND,
        ..Plan::everything(server)
    }
}

/// It may be gone by now.
fn kill(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    if let Some(pid) = pid {
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// What a process may have of something from now on; what it might.
fn limit(pid: u32, of: Resource, most: u64) -> Result<Rlimit> {
    let limit = Rlimit {
        current: Some(most),
        ..rustix::process::getrlimit(of)
    };
    Ok(rustix::process::prlimit(
        Pid::from_raw(i32::try_from(pid)?),
        of,
        limit,
    )?)
}

fn times(
    faults: &BTreeMap<&'static str, u64>,
    unwatched: &BTreeSet<Occurrence>,
) -> BTreeMap<&'static str, Times> {
    let count = |(name, happened): (&&'static str, &u64)| {
        let lost = unwatched.iter().filter(|(other, _)| other == name);
        let unwatched = u64::try_from(lost.count()).unwrap_or(u64::MAX);
        let times = Times {
            happened: *happened,
            unwatched,
        };
        (*name, times)
    };
    faults.iter().map(count).collect()
}
