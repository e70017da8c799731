//! The rounds: every engine, every load, again and again, in turn.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::Options;
use crate::cells;
use crate::engines::{self, Engine};
use crate::measure::Measurement;
use crate::metric::Load;
use crate::node::Node;
use crate::place::Place;
use crate::report;
use crate::samples::{BARE, DIRECT, Samples};
use crate::target::Target;

/// Descriptors for sixteen thousand open flows of two sockets each, and as many at
/// the engine.
const DESCRIPTORS: u64 = 100_000;

/// How often a load is tried on an engine.
const ATTEMPTS: usize = 2;

/// Measures and prints.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    if options.cells {
        return compare(&options);
    }
    let mut samples = match &options.samples {
        Some(path) => Samples::load(path)?,
        None => Samples::default(),
    };
    if options.rounds > 0 {
        rounds(&options, &mut samples)?;
    }
    report::print(&samples, options.json)
}

/// Plays the cells through every engine, and prints what came out.
fn compare(options: &Options) -> anyhow::Result<()> {
    raise_limits()?;
    let mut engines = engines::all(options)?;
    // What is no TCP has no conduct.
    engines.retain(|engine| match engine.name.as_str() {
        DIRECT => true,
        BARE => false,
        _ => options.engines.is_empty() || options.engines.contains(&engine.name),
    });
    let place = Place::build()?;
    let target = Target::start(&place)?;
    let outcomes = cells::play(&place, &target, &engines)?;
    report::print_cells(&outcomes, options.json)
}

fn rounds(options: &Options, samples: &mut Samples) -> anyhow::Result<()> {
    raise_limits()?;
    let mut engines = engines::all(options)?;
    if !options.engines.is_empty() {
        engines.retain(|engine| options.engines.contains(&engine.name));
        ensure!(!engines.is_empty(), "none of the engines named can be had");
    }
    let place = Place::build()?;
    let target = Target::start(&place)?;
    let node = Node::start(&place)?;
    for round in 0..options.rounds {
        // Reversed every second round, so that a drift of the machine favours nobody.
        let order: Vec<&Engine> = if round % 2 == 0 {
            engines.iter().collect()
        } else {
            engines.iter().rev().collect()
        };
        for engine in order {
            report::progress(round + 1, options.rounds, &engine.name);
            let measurement = Measurement {
                place: &place,
                target: &target,
                node: &node,
                each: options.each,
                first: round == 0,
            };
            for load in &options.loads {
                attempt(&measurement, engine, *load, samples);
            }
            if let Some(path) = &options.samples {
                samples.save(path)?;
            }
        }
    }
    Ok(())
}

/// Runs a load, a second time on a fresh engine where the first fails: an engine that stumbles
/// when it starts is not one that cannot carry it. What fails twice is noted and explained.
fn attempt(measurement: &Measurement<'_>, engine: &Engine, load: Load, samples: &mut Samples) {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match measurement.run(engine, load, samples) {
            Ok(()) => return,
            Err(error) => {
                let error = error.context(format!("{}, {load}", engine.name));
                report::complain(&error);
                last = Some(error);
            }
        }
    }
    if let Some(error) = last {
        samples.fail(load, &engine.name, format!("{:#}", error.root_cause()));
    }
}

/// Room for as many sockets as the loads open, here and in the engines started from
/// here, or for as many as may be.
fn raise_limits() -> anyhow::Result<()> {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(DESCRIPTORS);
    let set = |wanted| {
        let limit = Rlimit {
            current: Some(wanted),
            maximum: Some(wanted),
        };
        setrlimit(Resource::Nofile, limit)
    };
    // More than the hard limit needs a privilege that not every root has.
    Ok(set(DESCRIPTORS.max(most)).or_else(|_| set(most))?)
}
