//! One load on one engine.

mod endurance;
mod records;

use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::engines::{Engine, Running};
use crate::load::{
    CONCURRENT, Datagrams, Direction, bulk, connections, datagrams, idle, new_flows, open_flows,
    ping,
};
use crate::metric::{Load, Metric};
use crate::node::Node;
use crate::pace::Pace;
use crate::place::{From, Place};
use crate::processor::{self, Pinned};
use crate::report;
use crate::samples::Samples;
use crate::target::{ECHO, ECHO_ASIDE, Order, Target};

/// Connections that are open at once, and closed.
const IDLE: usize = 1_000;
/// The same as a divisor.
const IDLE_COUNT: f64 = 1_000.0;
/// Connections before memory is looked at.
const WARM_UP: usize = 32;
/// UDP flows that are open at once.
const OPEN: usize = 16_000;
/// How long bulk flows have for opening their windows, before a small one is looked at.
const SETTLED: Duration = Duration::from_millis(500);
/// How long an engine without work is watched.
const WATCH: Duration = Duration::from_secs(10);
/// How long an engine has for giving memory back.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Datagrams of one size in one direction: what they cost at 20 000 a second, and how
/// many are lost at 200 000.
const DATAGRAMS: [(usize, Direction, Metric, Metric); 4] = [
    (64, Direction::Up, Metric::SmallCostUp, Metric::SmallLostUp),
    (
        64,
        Direction::Down,
        Metric::SmallCostDown,
        Metric::SmallLostDown,
    ),
    (
        1200,
        Direction::Up,
        Metric::LargeCostUp,
        Metric::LargeLostUp,
    ),
    (
        1200,
        Direction::Down,
        Metric::LargeCostDown,
        Metric::LargeLostDown,
    ),
];
const MODERATE: u32 = 20_000;
const HEAVY: u32 = 200_000;

/// The same where programs and servers hand many to the kernel as one and take them so.
const JOINED: [(Direction, Metric, Metric); 2] = [
    (Direction::Up, Metric::JoinedCostUp, Metric::JoinedLostUp),
    (
        Direction::Down,
        Metric::JoinedCostDown,
        Metric::JoinedLostDown,
    ),
];
const JOINED_RATE: u32 = 500_000;

/// What a load needs.
pub(crate) struct Measurement<'a> {
    pub(crate) place: &'a Place,
    pub(crate) target: &'a Target,
    pub(crate) node: &'a Node,
    pub(crate) each: Duration,
    /// The first round; what takes long is only done in this.
    pub(crate) first: bool,
}

/// A fresh engine under a load, and where its samples go.
struct Subject<'a> {
    name: &'a str,
    running: Running,
    samples: &'a mut Samples,
}

impl Subject<'_> {
    fn note(&mut self, metric: Metric, value: f64) {
        self.samples.add(metric, self.name, value);
    }

    fn seconds(&self) -> anyhow::Result<f64> {
        let seconds = self.running.pid().map(processor::seconds);
        Ok(seconds.transpose()?.unwrap_or_default())
    }
}

impl Measurement<'_> {
    /// Runs a load on a fresh engine, if it is one for it.
    pub(crate) fn run(
        &self,
        engine: &Engine,
        load: Load,
        samples: &mut Samples,
    ) -> anyhow::Result<()> {
        if !engine.serves(load) {
            return Ok(());
        }
        if load == Load::Records {
            return self.records(engine, samples);
        }
        let running = engine.start(self.place)?;
        let mut subject = Subject {
            name: &engine.name,
            running,
            samples,
        };
        match load {
            Load::Memory => self.memory(&mut subject),
            Load::Bulk => self.bulk(&mut subject),
            Load::Forwarded => self.forwarded(&mut subject),
            Load::Records => Ok(()),
            Load::Many => self.many(&mut subject),
            Load::Flood => self.flood(&mut subject),
            Load::Ping => self.ping(&mut subject, Metric::Ping50, Metric::Ping99),
            Load::Pinned => {
                let _pinned = Pinned::new(subject.running.pid())?;
                self.ping(&mut subject, Metric::PinnedPing50, Metric::PinnedPing99)
            }
            Load::Beside => self.beside(&mut subject),
            Load::Connections => self.connections(&mut subject),
            Load::Datagrams => self.datagrams(&mut subject),
            Load::Flows => self.flows(&mut subject),
        }
    }

    fn bulk(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        for (direction, flows, rate, cost) in [
            (Direction::Up, 1, Metric::Up, Some(Metric::UpCost)),
            (Direction::Down, 1, Metric::Down, Some(Metric::DownCost)),
            (Direction::Up, 8, Metric::Up8, None),
            (Direction::Down, 8, Metric::Down8, None),
        ] {
            self.stream(subject, (From::Client, direction, flows), rate, cost)?;
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn forwarded(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let what = (From::Guest, Direction::Up, 1);
        self.stream(subject, what, Metric::UpForwarded, None)?;
        let _lossy = self.place.lose()?;
        self.stream(subject, what, Metric::UpLossy, None)
    }

    fn stream(
        &self,
        subject: &mut Subject<'_>,
        (from, direction, flows): (From, Direction, usize),
        rate: Metric,
        cost: Option<Metric>,
    ) -> anyhow::Result<()> {
        let mut used = Vec::new();
        let mark = || {
            used.push(subject.seconds()?);
            Ok(())
        };
        let bytes = bulk(self.place, from, direction, flows, self.each, mark)
            .with_context(|| rate.text().to_owned())?;
        let gigabytes = as_float(bytes) / 1e9;
        subject.note(rate, gigabytes * 8.0 / self.each.as_secs_f64());
        if let (Some(cost), [before, after], Some(_)) =
            (cost, used.as_slice(), subject.running.pid())
        {
            subject.note(cost, (after - before) / gigabytes);
        }
        Ok(())
    }

    fn ping(&self, subject: &mut Subject<'_>, p50: Metric, p99: Metric) -> anyhow::Result<()> {
        let latency = ping(self.place, ECHO, self.each)?;
        subject.note(p50, latency.p50);
        subject.note(p99, latency.p99);
        Ok(())
    }

    /// A small flow while many others take all that there is.
    fn beside(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        for (direction, p50, p99) in [
            (Direction::Up, Metric::BesideUp50, Metric::BesideUp99),
            (Direction::Down, Metric::BesideDown50, Metric::BesideDown99),
        ] {
            let latency = thread::scope(|scope| {
                let time = self.each + SETTLED;
                let others = scope
                    .spawn(move || bulk(self.place, From::Client, direction, 8, time, || Ok(())));
                thread::sleep(SETTLED);
                let latency = ping(self.place, ECHO_ASIDE, self.each);
                let others = others.join();
                others.map_err(|_| anyhow::anyhow!("a load panicked"))??;
                latency
            })?;
            subject.note(p50, latency.p50 / 1e3);
            subject.note(p99, latency.p99 / 1e3);
        }
        Ok(())
    }

    fn connections(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let rate = connections(self.place, CONCURRENT, self.each)?;
        subject.note(Metric::Connections, rate.per_second);
        subject.note(Metric::Connection99, rate.p99);
        let one_at_a_time = connections(self.place, 1, self.each)?;
        subject.note(Metric::OneAtATime, one_at_a_time.per_second);
        let stuck = rate.stuck + one_at_a_time.stuck;
        subject.note(Metric::Stuck, f64::from(stuck));
        Ok(())
    }

    fn datagrams(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let brief = self.each.min(Duration::from_secs(1));
        for (size, direction, cost, lost) in DATAGRAMS {
            let order = |rate, time| Order {
                size,
                pace: Pace {
                    rate,
                    time,
                    joined: false,
                },
            };
            let came = self.offer(subject, direction, order(MODERATE, self.each), Some(cost))?;
            if size == 1_200 {
                let (p50, p99) = delay(direction);
                subject.note(p50, came.delay.p50);
                subject.note(p99, came.delay.p99);
            }
            let came = self.offer(subject, direction, order(HEAVY, brief), None)?;
            subject.note(lost, came.lost * 100.0);
        }
        for (direction, cost, lost) in JOINED {
            let pace = Pace {
                rate: JOINED_RATE,
                time: self.each,
                joined: true,
            };
            let order = Order { size: 1_200, pace };
            let came = self.offer(subject, direction, order, Some(cost))?;
            subject.note(lost, came.lost * 100.0);
        }
        Ok(())
    }

    /// Sends datagrams, and notes what each that arrived has cost the engine.
    fn offer(
        &self,
        subject: &mut Subject<'_>,
        direction: Direction,
        order: Order,
        cost: Option<Metric>,
    ) -> anyhow::Result<Datagrams> {
        let rate = f64::from(order.pace.rate);
        let before = subject.seconds()?;
        let came = datagrams(self.place, self.target, direction, order)
            .with_context(|| format!("{} bytes, {rate} a second", order.size))?;
        let used = subject.seconds()? - before;
        if came.offered < 0.95 * rate {
            report::complain(&anyhow::anyhow!(
                "only {:.0} of {rate} datagrams a second could be offered to {}",
                came.offered,
                subject.name
            ));
        }
        if let Some(cost) = cost
            && subject.running.pid().is_some()
            && came.arrived > 0.0
        {
            subject.note(cost, used * 1e6 / came.arrived);
        }
        Ok(came)
    }

    fn flows(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let new = new_flows(self.place, self.each)?;
        subject.note(Metric::NewFlows, new);
        if self.first {
            let alive = open_flows(self.place, OPEN).context("many open flows")?;
            subject.note(Metric::OpenFlows, alive);
        }
        Ok(())
    }

    fn memory(&self, subject: &mut Subject<'_>) -> anyhow::Result<()> {
        let Some(pid) = subject.running.pid().filter(|_| self.first) else {
            return Ok(());
        };
        // What the first connections touch of the program itself is not theirs.
        idle(self.place, WARM_UP, || Ok(()))?;
        thread::sleep(GIVE_BACK);
        let sleeps = processor::sleeps(pid)?;
        thread::sleep(WATCH);
        let sleeps = processor::sleeps(pid)? - sleeps;
        subject.note(Metric::WakeUps, sleeps / WATCH.as_secs_f64());
        let before = processor::resident(pid)?;
        subject.note(Metric::Idle, before / 1024.0);
        let mut open = before;
        idle(self.place, IDLE, || {
            open = processor::resident(pid)?;
            Ok(())
        })?;
        subject.note(Metric::PerConnection, (open - before) / IDLE_COUNT);
        thread::sleep(GIVE_BACK);
        subject.note(Metric::AfterClosing, processor::resident(pid)? / before);
        Ok(())
    }
}

/// Where the delays of datagrams are noted, the median and what one in a hundred exceeds.
fn delay(direction: Direction) -> (Metric, Metric) {
    match direction {
        Direction::Up => (Metric::DelayUp50, Metric::DelayUp99),
        Direction::Down => (Metric::DelayDown50, Metric::DelayDown99),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a byte count of one run is far below 2^52"
)]
fn as_float(bytes: u64) -> f64 {
    bytes as f64
}
