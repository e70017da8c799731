//! Whether anything gets past the block: attempts from a uid of its own, and a tap
//! on every interface that sees what really left.
//!
//! The tap is behind the packet filter's egress hook, so that what it shows has
//! passed every stop there is. The attempts go to documentation addresses with a
//! hop limit of 1: one that gets out gets no further than the next router.

mod frame;
mod probe;
mod schedule;
mod sys;
mod tap;

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use vpnm_host::{Host, HostError, Observed, names};

pub use probe::send_all;
pub(crate) use schedule::{Schedule, Urgency};

use crate::engine::{self, Identity};
use probe::{Link, Probe};
use tap::Tap;

/// How long the attempts may take; none waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the last attempt its frame may still be on its way.
const LATE: Duration = Duration::from_millis(60);
/// Interfaces that are tried, at most.
const LINKS: usize = 12;

/// What was tried and what left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Attempts that were made.
    pub attempts: usize,
    /// Those of them that left this machine past the tunnel, in words.
    pub leaked: Vec<String>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The interfaces cannot be listed.
    #[error("the interfaces cannot be listed")]
    Host(#[from] HostError),
    /// The tap or the attempts could not be had.
    #[error("cannot {action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The attempts were not made.
    #[error("the attempts were not made: {0}")]
    Probe(String),
}

fn system(action: &'static str) -> impl FnOnce(io::Error) -> CheckError {
    move |source| CheckError::System { action, source }
}

/// Tries every way out and tells which of them led out. Needs root; takes a fraction
/// of a second, in which it blocks.
///
/// # Errors
/// [`CheckError`]: it is not known whether anything gets out.
pub fn check() -> Result<Report, CheckError> {
    let observed = Host::open()?.observe()?;
    let links = links(&observed);
    let probes = probe::all(&links);
    let inside = inside(&observed);
    let mut tap = Tap::open(&inside).map_err(system("listen on the interfaces"))?;
    let port = 1024 + u16::try_from(std::process::id() % 60_000).unwrap_or_default();
    for (number, probe) in probe::numbered(&probes) {
        if let Probe::Frame(link) = probe {
            // One that cannot even be handed over does not leave.
            let _refused = sys::send_frame(link.index, &frame::datagram(number, port));
        }
    }
    attempt(port, &links)?;
    let numbers = tap.read_until(port, Instant::now() + LATE);
    let numbers: BTreeSet<u8> = numbers.map_err(system("listen on the interfaces"))?;
    let named = probe::numbered(&probes).filter(|(number, _)| numbers.contains(number));
    Ok(Report {
        attempts: probes.len(),
        leaked: named.map(|(_, probe)| probe.to_string()).collect(),
    })
}

/// The interfaces that lead out of this machine, with their addresses.
fn links(observed: &Observed) -> Vec<Link> {
    let outward = observed.ways_out().filter(|link| link.settings.up);
    let with_addresses = outward.take(LINKS).map(|link| Link {
        index: link.index,
        name: link.name.clone(),
        addresses: observed
            .addresses
            .iter()
            .filter(|address| {
                address.link == link.index && !frame::is_link_local(address.prefix.ip)
            })
            .map(|address| address.prefix.ip)
            .take(2)
            .collect(),
    });
    with_addresses.collect()
}

/// The interfaces by which nothing leaves, whatever is seen on them.
fn inside(observed: &Observed) -> Vec<u32> {
    let outside: BTreeSet<u32> = observed.ways_out().map(|link| link.index).collect();
    let all = observed.links.iter().map(|link| link.index);
    all.filter(|index| !outside.contains(index)).collect()
}

/// Has the attempts made, by a process of a uid that is neither root nor the engine.
fn attempt(port: u16, links: &[Link]) -> Result<(), CheckError> {
    let identity = Identity {
        uid: names::PROBE_ID,
        gid: names::PROBE_ID,
    };
    let words = std::iter::once(port.to_string()).chain(links.iter().map(ToString::to_string));
    let words: Vec<String> = words.collect();
    let child = engine::spawn_as(identity, &["probe".to_owned(), words.join(" ")]);
    let mut child = child.map_err(system("start the attempts"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().map_err(system("wait for the attempts"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(CheckError::Probe(status.to_string())),
            None if Instant::now() > deadline => {
                let _dead = child.kill();
                let _reaped = child.wait();
                return Err(CheckError::Probe("they took too long".to_owned()));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
