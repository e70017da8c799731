//! The driver: protects a client, attacks it as a row says, counts what left.

use std::io::{self, Write as _};
use std::net::{Ipv6Addr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use vpnm_world::addresses::{LAN_LINK, NEIGHBOUR, NODE, NODE_SECOND, SITE};
use vpnm_world::capture::Tally;
use vpnm_world::internet::ECHO_PORT;
use vpnm_world::probe::{Kind, Plan, Prober};
use vpnm_world::{Signal, User, Visitor};

use super::{Aftermath, Row, Step};
use crate::guard::Guard;
use crate::machine;
use crate::report::Line;
use crate::session::Session;

/// Connections of [`Step::OpenFlows`].
const FLOWS: usize = 20;
/// Time from one probe to the next.
const INTERVAL: Duration = Duration::from_millis(2);
/// Longest a step's share of the probes may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What protects the client in a drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// The program under test.
    Product,
    /// Its filter, rules and routes alone, with nobody behind the link.
    Rules,
    /// Nothing: to prove that the observer sees.
    Nothing,
    /// Routing rules as wg-quick sets them, with an interface in which all
    /// packets are lost: to prove that attacks bite.
    WgQuick,
}

const WG_QUICK: &str = "ip tuntap add dev wg0 mode tun && ip link set wg0 up && \
    for f in -4 -6; do ip $f route add default dev wg0 table 51820 && \
    ip $f rule add not fwmark 51820 table 51820 && \
    ip $f rule add table main suppress_prefixlength 0 || exit 1; done";

struct Drill<'a> {
    session: Session,
    protection: Protection,
    prober: Option<Prober>,
    flows: Vec<TcpStream>,
    guard: Option<Guard>,
    row: &'a Row,
}

/// Runs a row with at least `probes` probes and says what each kind did.
///
/// # Errors
///
/// When the program under test does not do its part; leaks are no error, they
/// are in the lines.
pub fn run(
    row: &Row,
    protection: Protection,
    probes: u64,
    record: Option<&std::path::Path>,
) -> Result<Vec<Line>> {
    machine::need(&["ip", "nft"])?;
    let session = Session::begin(record)?;
    let mut drill = Drill {
        session,
        protection,
        prober: None,
        flows: Vec::new(),
        guard: None,
        row,
    };
    drill.steps(row.before, 0)?;
    drill.protect()?;
    // What was sent before there was protection is not its fault.
    let protected = drill.session.capture().tally()?;
    drill.prober = Some(drill.start_probes()?);
    let share = probes.div_ceil(u64::try_from(row.attack.len())?.max(1));
    drill.steps(row.attack, share)?;
    let attempts = drill.prober.take().context("the prober is gone")?.stop();
    let tally = drill.session.capture().tally()?.since(&protected);
    let lines = Line::of(row.number, row.name, &attempts, &tally);
    if protection == Protection::Product && tally.leaked() == 0 {
        drill.finish(&protected)?;
    }
    Ok(lines)
}

impl Drill<'_> {
    fn protect(&mut self) -> Result<()> {
        match self.protection {
            Protection::Nothing => Ok(()),
            Protection::Rules => {
                self.guard = Some(Guard::raise(&self.session)?);
                Ok(())
            }
            Protection::WgQuick => machine::shell(self.session.client(), WG_QUICK).map(drop),
            Protection::Product => {
                self.session.start_daemon()?;
                self.session.connect()?;
                self.session.check_tunnel()
            }
        }
    }

    fn start_probes(&self) -> io::Result<Prober> {
        let all = self.row.kinds.is_empty();
        let kinds = if all {
            Kind::ALL.to_vec()
        } else {
            self.row.kinds.to_vec()
        };
        let plan = Plan {
            kinds,
            user: self.row.user,
            interval: INTERVAL,
            ..Plan::everything(self.session.server())
        };
        Prober::start(self.session.client(), plan)
    }

    /// Takes the steps in order; after each, waits for `share` more probes.
    fn steps(&mut self, steps: &[Step], share: u64) -> Result<()> {
        for step in steps {
            let fired = self.prober.as_ref().map_or(0, Prober::fired);
            self.step(*step).with_context(|| format!("{step:?}"))?;
            self.await_probes(fired + share)?;
        }
        Ok(())
    }

    fn await_probes(&self, count: u64) -> Result<()> {
        let Some(prober) = &self.prober else {
            return Ok(());
        };
        machine::wait_for("probes to be fired", PATIENCE, || {
            Ok((prober.fired() >= count).then_some(()))
        })
    }

    fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Probe => Ok(()),
            Step::KillEngine => self.kill_engine(),
            Step::StopEngine => self.signal_engine(Signal::STOP),
            Step::ContinueEngine => self.signal_engine(Signal::CONT),
            Step::KillDaemon => self.kill_daemon(),
            Step::StartDaemon => self.start_daemon(),
            Step::EndDaemon => self.end_daemon(),
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
            Step::Client(script) => machine::shell(self.session.client(), script).map(drop),
            Step::Router(script) => machine::shell(self.session.world().router(), script).map(drop),
            Step::OtherGateway => {
                self.session.capture().permit_gateway(NEIGHBOUR);
                Ok(())
            }
            Step::Advertise => self.advertise(),
            Step::Wait(time) => {
                std::thread::sleep(time);
                Ok(())
            }
            Step::Expect(states) => self.expect(states),
            Step::OpenFlows => self.open_flows(),
            Step::WriteFlows => {
                self.write_flows();
                Ok(())
            }
            Step::DropFlows => {
                self.flows.clear();
                Ok(())
            }
        }
    }

    fn kill_engine(&self) -> Result<()> {
        if self.protection == Protection::WgQuick {
            return machine::shell(self.session.client(), "ip link del wg0; true").map(drop);
        }
        self.signal_engine(Signal::KILL)
    }

    fn signal_engine(&self, signal: Signal) -> Result<()> {
        match self.protection {
            Protection::Product => self.session.signal_engine(signal),
            Protection::Rules | Protection::Nothing | Protection::WgQuick => Ok(()),
        }
    }

    fn kill_daemon(&mut self) -> Result<()> {
        self.guard = None;
        match self.protection {
            Protection::Product => self.session.kill_daemon(),
            Protection::Rules | Protection::Nothing | Protection::WgQuick => Ok(()),
        }
    }

    fn end_daemon(&mut self) -> Result<()> {
        self.guard = None;
        match self.protection {
            Protection::Product => self.session.end_daemon(),
            Protection::Rules | Protection::Nothing | Protection::WgQuick => Ok(()),
        }
    }

    fn signal_daemon(&self, signal: Signal) -> Result<()> {
        match self.protection {
            Protection::Product => self.session.signal_daemon(signal),
            Protection::Rules | Protection::Nothing | Protection::WgQuick => Ok(()),
        }
    }

    fn switch(&self) -> Result<()> {
        if self.protection != Protection::Product {
            return Ok(());
        }
        let other = NODE_SECOND.v4.to_string();
        for link in [
            self.session.link().replace(&NODE.v4.to_string(), &other),
            self.session.link().to_owned(),
        ] {
            self.session.command(&["connect", &link])?;
            self.session.check_tunnel()?;
        }
        Ok(())
    }

    fn start_daemon(&mut self) -> Result<()> {
        match self.protection {
            Protection::Product => self.session.start_daemon(),
            Protection::Rules | Protection::Nothing | Protection::WgQuick => self.protect(),
        }
    }

    fn expect(&self, states: &[&str]) -> Result<()> {
        if self.protection != Protection::Product {
            return Ok(());
        }
        self.session.wait_for_state(states)?;
        if states == ["connected"] {
            self.session.check_tunnel()
        } else {
            Ok(())
        }
    }

    fn advertise(&self) -> Result<()> {
        let site = Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 0);
        let prefixes = [(site, 64), (Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0), 1)];
        let router = self.session.world().router();
        Ok(machine::advertise(router, LAN_LINK, &prefixes)?)
    }

    fn open_flows(&mut self) -> Result<()> {
        let alice = Visitor::new(self.session.client(), User::Alice);
        for _ in 0..FLOWS {
            let flow = alice.connect((SITE.v4, ECHO_PORT).into())?;
            flow.set_nonblocking(true)?;
            self.flows.push(flow);
        }
        self.write_flows();
        Ok(())
    }

    /// Writes until the kernel takes no more; the echo is never read.
    fn write_flows(&mut self) {
        for flow in &mut self.flows {
            while flow.write(&[0x55; 64 * 1024]).is_ok() {}
        }
    }

    /// The aftermath: the tunnel or the closed machine, and the client as it
    /// was before anything was done to it.
    fn finish(mut self, protected: &Tally) -> Result<()> {
        let row = self.row;
        self.steps(row.undo, 0)?;
        self.flows.clear();
        match row.aftermath {
            Aftermath::Connected => {
                self.session.wait_for_state(&["connected"])?;
                let start = Instant::now();
                // Routes learnt anew may take a moment to be in use.
                while let Err(error) = self.session.check_tunnel() {
                    if start.elapsed() > Duration::from_secs(10) {
                        return Err(error.context("after the attack was over"));
                    }
                }
                let last = self.session.end()?.since(protected);
                if last.leaked() + last.unaccounted() > 0 {
                    bail!("left until the disconnection: {:?}", last.leaks);
                }
                Ok(())
            }
            Aftermath::Closed => self.reopen(),
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
