//! Whether anything gets past the block: attempts from a uid of its own, and a tap
//! on every interface that sees what really left.
//!
//! The tap is behind the packet filter's egress hook, so that what it shows has
//! passed every stop there is. The attempts go to documentation addresses with a
//! hop limit of 1: one that gets out gets no further than the next router. Those that
//! are led into the tunnel end in the engine.

mod frame;
mod probe;
mod schedule;
mod sys;
mod tap;
mod turn;

use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, netdevice};
use vpnm_api::leak_check::PORTS;
use vpnm_host::{Host, HostError, Observed, names};

pub use probe::send_all;
pub(crate) use schedule::{Schedule, Urgency};
pub(crate) use turn::Turn;

use crate::engine::{self, Identity};
use crate::keep::Linux;
use probe::{Link, Probe};
use tap::Tap;

/// How long the attempts may take; none waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the last attempt its frame may still be on its way.
const LATE: Duration = Duration::from_millis(60);
/// How long the packet filter may take to know the name of an interface.
const SETTLING: Duration = Duration::from_millis(300);
/// From one look at that to the next.
const GLANCE: Duration = Duration::from_millis(10);
/// Bytes that the numbers of a round take at most.
const LONGEST: u64 = 4 * 256;

/// What was tried and what left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Attempts that were made: the kernel was asked to send something.
    pub attempts: usize,
    /// Those that could not be made, in words: an interface or an address went away,
    /// or is not ready yet, or the kernel has no hook that holds frames back (Linux 5.16).
    pub untried: Vec<String>,
    /// Those that left this machine past the tunnel, in words.
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
/// of a second for twenty interfaces, in which it blocks.
///
/// # Errors
/// [`CheckError`]: it is not known whether anything gets out.
pub fn check() -> Result<Report, CheckError> {
    check_in_turn(&Turn::default())
}

/// The same beside somebody who may open the machine; what is not tried for it is said.
pub(crate) fn check_in_turn(turn: &Turn) -> Result<Report, CheckError> {
    let mut host = Host::open_with(None, Linux::of_environment().capabilities())?;
    let observed = settled(&mut host)?;
    // What this kernel cannot hold back is not tried: that it leaves is known.
    let holds_frames = host.capabilities().egress;
    let probes = probe::all(&links(&observed));
    let port = port();
    let mut tap = Tap::open(&inside(&observed), port).map_err(system("listen everywhere"))?;
    let mut report = Report::default();
    for round in probes.chunks(probe::ROUND.into()) {
        let mut made = BTreeSet::new();
        if let Some(_ours) = turn.to_attempt() {
            if holds_frames {
                made.extend(send_frames(round, port));
            }
            made.extend(attempt(round, port, &mut tap)?);
        }
        std::thread::sleep(LATE);
        let seen = tap.seen().map_err(system("see all that leaves"))?;
        for (number, probe) in probe::numbered(round) {
            match (made.contains(&number), seen.contains(&number)) {
                (_, true) => report.leaked.push(probe.to_string()),
                (true, false) => {}
                (false, false) => report.untried.push(probe.to_string()),
            }
        }
        report.attempts += made.len();
    }
    Ok(report)
}

/// What is there, when the packet filter has come to know the names of all ways out. One
/// that it does not come to know is tried like the others.
fn settled(host: &mut Host) -> Result<Observed, HostError> {
    let start = Instant::now();
    loop {
        let observed = host.observe()?;
        if observed.sees_all_frames() || start.elapsed() > SETTLING {
            return Ok(observed);
        }
        std::thread::sleep(GLANCE);
    }
}

/// A port that tells the attempts of this check from those of others.
fn port() -> u16 {
    let ports = u32::from(PORTS.end() - PORTS.start()) + 1;
    let nth = u16::try_from(std::process::id() % ports).unwrap_or_default();
    PORTS.start() + nth
}

/// Makes the attempts that take root; returns the numbers of those that were made.
fn send_frames(round: &[Probe], port: u16) -> BTreeSet<u8> {
    let frames = probe::numbered(round).filter(|(number, probe)| match probe {
        Probe::Frame(link) if is_called_so(link) => {
            match sys::send_frame(link.index, &frame::datagram(*number, port)) {
                Ok(()) => true,
                // That is how the kernel says that a hook dropped it.
                Err(error) => error.raw_os_error() == Some(libc::ENOBUFS),
            }
        }
        Probe::Frame(_) | Probe::Socket { .. } => false,
    });
    frames.map(|(number, _)| number).collect()
}

/// Whether the interface still has the name by which the packet filter knows it: a frame
/// of ours is none of those that get out until it knows the next.
fn is_called_so(link: &Link) -> bool {
    let any = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    let name = any.and_then(|any| netdevice::index_to_name(any, link.index));
    name.is_ok_and(|name| name == link.name)
}

/// The interfaces that lead out of this machine, with their addresses.
fn links(observed: &Observed) -> Vec<Link> {
    // Without a carrier nothing leaves, and addresses never become ready.
    let outward = observed.ways_out();
    let outward = outward.filter(|link| link.settings.up && link.carrier);
    let with_addresses = outward.map(|link| Link {
        index: link.index,
        name: link.name.clone(),
        addresses: observed
            .addresses
            .iter()
            .filter(|address| {
                address.link == link.index && !frame::is_link_local(address.prefix.ip)
            })
            .map(|address| address.prefix.ip)
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

/// Has the attempts of a round made, by a process of a uid that is neither root nor the
/// engine; returns the numbers of those that were made.
fn attempt(round: &[Probe], port: u16, tap: &mut Tap) -> Result<BTreeSet<u8>, CheckError> {
    let identity = Identity {
        uid: names::PROBE_ID,
        gid: names::PROBE_ID,
    };
    // What root does itself keeps its number.
    let word = |probe: &Probe| probe.word().unwrap_or_else(|| probe::NONE.to_owned());
    let words = std::iter::once(port.to_string()).chain(round.iter().map(word));
    let words: Vec<String> = words.collect();
    let child = engine::spawn_as(identity, &["probe".to_owned(), words.join(" ")]);
    let mut child = child.map_err(system("start the attempts"))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        tap.drain().map_err(system("see all that leaves"))?;
        match child.try_wait().map_err(system("wait for the attempts"))? {
            Some(status) if status.success() => return said(&mut child),
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

/// The numbers that the process wrote, one a line.
fn said(child: &mut Child) -> Result<BTreeSet<u8>, CheckError> {
    let mut text = String::new();
    if let Some(output) = &mut child.stdout {
        let read = output.take(LONGEST).read_to_string(&mut text);
        read.map_err(system("read which attempts were made"))?;
    }
    let numbers = text.lines().map(str::parse).collect::<Result<_, _>>();
    numbers.map_err(|_| CheckError::Probe("what they said is no list of numbers".to_owned()))
}
