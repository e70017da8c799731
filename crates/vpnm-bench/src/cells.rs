//! What programs see of their connections through each engine, beside what they see
//! without any.

mod datagrams;
mod streams;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::engines::Engine;
use crate::load::idle;
use crate::place::{Place, TARGET, TARGET6};
use crate::report;
use crate::samples::DIRECT;
use crate::seen::Outcome;
use crate::target::{Target, conduct};

/// How often a fresh engine is tried before its conduct is looked at.
const STARTS: usize = 3;

/// One conversation.
struct Cell {
    name: &'static str,
    /// What the client does, and says of what it saw.
    ask: fn(IpAddr) -> anyhow::Result<String>,
    /// The service that says what it saw.
    service: Option<u16>,
}

const CELLS: [Cell; 11] = [
    cell(
        "half-close by the client",
        streams::ask_and_wait,
        Some(conduct::LATE),
    ),
    cell(
        "half-close by the server",
        streams::be_greeted,
        Some(conduct::GREET),
    ),
    cell("reset by the server", streams::be_reset, None),
    cell("reset by the client", streams::reset, Some(conduct::READ)),
    cell("closed port", streams::knock, None),
    cell("server that never reads", streams::send_until_stopped, None),
    cell("8 MiB there and back", streams::echo, None),
    cell("UDP of up to 1 472 bytes", datagrams::ordinary, None),
    cell("UDP of up to 65 000 bytes", datagrams::long, None),
    cell("ping of nobody", datagrams::ping_nobody, None),
    cell("ping of the target", datagrams::ping, None),
];

const fn cell(
    name: &'static str,
    ask: fn(IpAddr) -> anyhow::Result<String>,
    service: Option<u16>,
) -> Cell {
    Cell { name, ask, service }
}

/// Plays all cells over both families without an engine, and then through each.
pub(crate) fn play(
    place: &Place,
    target: &Target,
    engines: &[Engine],
) -> anyhow::Result<Vec<Outcome>> {
    let mut order: Vec<&Engine> = engines.iter().collect();
    order.sort_by_key(|engine| engine.name != DIRECT);
    let mut outcomes: Vec<Outcome> = Vec::new();
    for engine in order {
        report::playing(&engine.name);
        let running = match engine.start(place) {
            Ok(running) => running,
            Err(error) => {
                report::complain(&error);
                continue;
            }
        };
        // What the first connection meets of a start is nobody's conduct.
        let ready = (0..STARTS).find_map(|_| idle(place, 1, || Ok(())).ok());
        if ready.is_none() {
            report::complain(&anyhow::anyhow!("{} connects nowhere", engine.name));
        }
        for (family, host) in [("IPv4", TARGET), ("IPv6", TARGET6)] {
            for cell in &CELLS {
                let name = format!("{}, {family}", cell.name);
                let seen = one(place, target, cell, host)?;
                let direct = outcomes
                    .iter()
                    .find(|outcome| outcome.engine == DIRECT && outcome.cell == name);
                outcomes.push(Outcome {
                    as_direct: engine.name == DIRECT
                        || direct.is_some_and(|direct| direct.seen == seen),
                    cell: name,
                    engine: engine.name.clone(),
                    seen,
                });
            }
        }
        drop(running);
    }
    Ok(outcomes)
}

/// What both ends see of one conversation.
fn one(place: &Place, target: &Target, cell: &Cell, host: IpAddr) -> anyhow::Result<String> {
    // What an earlier conversation was too late for is not this one's.
    if let Some(port) = cell.service {
        target.seen().take(port);
    }
    let ask = cell.ask;
    let client = place.on_client(move || ask(host))?;
    let client = client
        .join()
        .map_err(|_| anyhow::anyhow!("a client panicked"))?
        .unwrap_or_else(|error| format!("{:#}", error.root_cause()));
    let server = cell.service.map(|port| wait(target, port));
    Ok(match server {
        Some(server) => format!("{client}; server: {server}"),
        None => client,
    })
}

/// What the service of a port saw, once it has seen an end.
fn wait(target: &Target, port: u16) -> String {
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        if let Some(seen) = target.seen().take(port) {
            return seen;
        }
        thread::sleep(Duration::from_millis(10));
    }
    "no end".to_owned()
}
