//! The rounds: every engine, every load, again and again, in turn.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use crate::arguments::Options;
use crate::engines::{self, Engine};
use crate::load::{Direction, bulk, connections, datagrams, ping};
use crate::place::Place;
use crate::report::{self, Metric, Samples};
use crate::{processor, target};

/// Measures and prints.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let engines = engines::all(&options)?;
    let place = Place::build()?;
    target::start(&place)?;
    let mut samples = Samples::new();
    for round in 0..options.rounds {
        // Reversed every second round, so that a drift of the machine favours nobody.
        let order: Vec<&Engine> = if round % 2 == 0 {
            engines.iter().collect()
        } else {
            engines.iter().rev().collect()
        };
        for engine in order {
            report::progress(round + 1, options.rounds, &engine.name);
            let measured = measure(engine, &place, options.each, &mut samples);
            if let Err(error) = measured {
                report::complain(
                    &error.context(format!("{} could not be measured in full", engine.name)),
                );
            }
        }
    }
    let names: Vec<String> = engines.into_iter().map(|engine| engine.name).collect();
    report::print(&samples, &names, options.json)
}

fn measure(
    engine: &Engine,
    place: &Place,
    each: Duration,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let running = engine.start(place)?;
    let pid = running.pid();
    let mut note = |metric: Metric, value: f64| {
        samples
            .entry(metric)
            .or_default()
            .entry(engine.name.clone())
            .or_default()
            .push(value);
    };
    if let Some(pid) = pid {
        note(Metric::Idle, processor::resident(pid)? / 1024.0);
    }
    for (direction, flows, rate, cost) in [
        (Direction::Up, 1, Metric::Up, Some(Metric::UpCost)),
        (Direction::Down, 1, Metric::Down, Some(Metric::DownCost)),
        (Direction::Up, 8, Metric::Up8, None),
        (Direction::Down, 8, Metric::Down8, None),
    ] {
        let mut used = Vec::new();
        let mark = || {
            used.push(pid.map(processor::seconds).transpose()?.unwrap_or_default());
            Ok(())
        };
        let bytes =
            bulk(place, direction, flows, each, mark).with_context(|| rate.text().to_owned())?;
        let gigabytes = as_float(bytes) / 1e9;
        note(rate, gigabytes * 8.0 / each.as_secs_f64());
        if let (Some(cost), [before, after], Some(_)) = (cost, used.as_slice(), pid) {
            note(cost, (after - before) / gigabytes);
        }
        thread::sleep(Duration::from_millis(200));
    }
    let latency = ping(place, each).context("ping-pong")?;
    note(Metric::Ping50, latency.p50);
    note(Metric::Ping99, latency.p99);
    let rate = connections(place, each).context("connections")?;
    note(Metric::Connections, rate.per_second);
    note(Metric::Stuck, f64::from(rate.stuck));
    for (size, metric, lost) in [
        (64, Metric::Small, Metric::SmallLost),
        (1200, Metric::Large, Metric::LargeLost),
    ] {
        let came = datagrams(place, size, 100_000, each).context("datagrams")?;
        note(metric, came.per_second / 1000.0);
        note(lost, came.lost * 100.0);
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a byte count of one run is far below 2^52"
)]
fn as_float(bytes: u64) -> f64 {
    bytes as f64
}
