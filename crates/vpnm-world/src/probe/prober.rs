//! A thread that fires probes until it is told to stop.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use super::class::Class;
use super::kind::Kind;
use super::payload;
use super::shot::{Fired, Range};
use super::uplinks::Uplinks;
use crate::addresses::CLIENT_LINK;
use crate::{Host, User, links, sys};

/// Connections kept open at a time, to write into once they stand.
const OPEN: usize = 256;
/// Time between two volleys.
const TICK: Duration = Duration::from_millis(1);
/// The longest time that is caught up with after a pause.
const ARREARS: Duration = Duration::from_millis(20);

/// What to probe, as whom, how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The proxy server's address and port.
    pub server: SocketAddr,
    /// Groups that get an equal share each; the kinds of a group take turns.
    pub groups: Vec<Vec<Kind>>,
    /// Who probes.
    pub user: User,
    /// Probes in a second.
    pub rate: u32,
}

impl Plan {
    /// Every kind in turn, by a user without any right, a thousand in a second.
    #[must_use]
    pub fn everything(server: SocketAddr) -> Self {
        Self {
            server,
            groups: Kind::ALL.map(|kind| vec![kind]).to_vec(),
            user: User::Mallory,
            rate: 1_000,
        }
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.groups.iter().flatten().copied()
    }
}

/// What one kind of probe did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Probes fired.
    pub attempted: u64,
    /// Of those, refused by the client's own kernel at once.
    pub refused: u64,
    /// Turns in which nothing could be fired, for want of an interface, an
    /// address, a port or memory: no attempts.
    pub not_fired: u64,
}

impl Attempts {
    /// Turns taken, fired or not.
    #[must_use]
    pub fn turns(self) -> u64 {
        self.attempted + self.not_fired
    }
}

/// Counts of one kind.
#[derive(Debug, Default)]
struct Count {
    attempted: AtomicU64,
    refused: AtomicU64,
    not_fired: AtomicU64,
}

/// Counts of all kinds, shared with who waits for them.
#[derive(Debug)]
struct Counts(BTreeMap<Kind, Count>);

impl Counts {
    fn of(plan: &Plan) -> Self {
        Self(plan.kinds().map(|kind| (kind, Count::default())).collect())
    }

    fn add(&self, kind: Kind, fired: &Fired) {
        let Some(count) = self.0.get(&kind) else {
            return;
        };
        let (attempted, refused) = match fired {
            Fired::Missed => (&count.not_fired, 0),
            Fired::Refused => (&count.attempted, 1),
            Fired::Sent | Fired::Connecting(_) => (&count.attempted, 0),
        };
        attempted.fetch_add(1, Ordering::Relaxed);
        count.refused.fetch_add(refused, Ordering::Relaxed);
    }

    fn read(&self) -> BTreeMap<Kind, Attempts> {
        let read = |count: &Count| Attempts {
            attempted: count.attempted.load(Ordering::Relaxed),
            refused: count.refused.load(Ordering::Relaxed),
            not_fired: count.not_fired.load(Ordering::Relaxed),
        };
        let counts = self.0.iter();
        counts.map(|(kind, count)| (*kind, read(count))).collect()
    }
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    rate: AtomicU32,
    frames_held: AtomicBool,
    counts: Counts,
}

impl Shared {
    fn rests(&self, kind: Kind) -> bool {
        kind.class() == Class::Packet && self.frames_held.load(Ordering::SeqCst)
    }
}

/// Probes being fired. Stops when dropped.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Prober {
    /// Starts to fire inside `host`.
    ///
    /// # Errors
    ///
    /// When the host cannot be entered or the user taken.
    pub fn start(host: &Host, plan: Plan) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            rate: AtomicU32::new(plan.rate),
            frames_held: AtomicBool::new(false),
            counts: Counts::of(&plan),
        });
        let (theirs, host) = (Arc::clone(&shared), host.clone());
        let (ready, started) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("world-prober".to_owned())
            .spawn(move || match prepare(&host, &plan) {
                Ok(range) => {
                    ready.send(Ok(())).ok();
                    fire(range, &plan, &theirs);
                }
                Err(error) => drop(ready.send(Err(error))),
            })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Changes the pace, in probes a second.
    pub fn set_rate(&self, rate: u32) {
        self.shared.rate.store(rate, Ordering::Relaxed);
    }

    /// Lets the frames of root's packet sockets rest, or lets them go again:
    /// their turns pass without a shot.
    pub fn hold_frames(&self, held: bool) {
        self.shared.frames_held.store(held, Ordering::SeqCst);
    }

    /// Probes fired so far, of all kinds.
    #[must_use]
    pub fn fired(&self) -> u64 {
        let attempts = self.attempts();
        attempts.values().map(|kind| kind.attempted).sum()
    }

    /// What was done so far, by kind.
    #[must_use]
    pub fn attempts(&self) -> BTreeMap<Kind, Attempts> {
        self.shared.counts.read()
    }

    /// Stops, and says what was done by kind.
    #[must_use]
    pub fn stop(mut self) -> BTreeMap<Kind, Attempts> {
        self.end();
        self.attempts()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.end();
    }
}

fn prepare(host: &Host, plan: &Plan) -> io::Result<Range> {
    host.enter()?;
    let interface = links::index(CLIENT_LINK)?;
    let mut packet = BTreeMap::new();
    for kind in [Kind::Packet, Kind::PacketBypass] {
        if plan.kinds().any(|other| other == kind) {
            let socket = packet_socket()?;
            if kind == Kind::PacketBypass {
                sys::bypass_queue(socket.as_fd())?;
            }
            packet.insert(kind, socket);
        }
    }
    // The kernel looks at the user of a socket's creator: this thread's alone
    // changes.
    plan.user.become_on_this_thread()?;
    Ok(Range {
        server: plan.server,
        uplinks: Uplinks::learn(Instant::now())?,
        packet,
        interface,
        aimed: BTreeMap::new(),
        count: 0,
    })
}

/// A packet socket that sends and, with protocol 0, hears nothing. It is bound to
/// no interface: the kernel takes such a bond away for good when the interface
/// leaves for another namespace, and it would send nothing once it is back.
fn packet_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

fn fire(mut range: Range, plan: &Plan, shared: &Shared) {
    let mut magazine = magazine(plan);
    let mut open = VecDeque::with_capacity(OPEN);
    // Nanoseconds worth of probes that are owed.
    let (mut then, mut owed) = (Instant::now(), Duration::ZERO);
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        owed = (owed + (now - then)).min(ARREARS);
        then = now;
        range.uplinks.refresh(now);
        let each = Duration::from_secs(1) / shared.rate.load(Ordering::Relaxed).max(1);
        while owed >= each {
            owed = owed.saturating_sub(each.max(Duration::from_nanos(1)));
            let Some((kind, payload)) = magazine.next() else {
                return;
            };
            let fired = if shared.rests(kind) {
                Fired::Missed
            } else {
                range.fire(kind, &payload)
            };
            shared.counts.add(kind, &fired);
            if let Fired::Connecting(socket) = fired {
                keep(&mut open, payload, socket);
            }
        }
        thread::sleep(TICK);
    }
}

/// Kinds and their payloads for ever: group by group, kind by kind.
fn magazine(plan: &Plan) -> impl Iterator<Item = (Kind, Rc<[u8]>)> + use<> {
    let load = |kind: &Kind| (*kind, Rc::from(payload::of(*kind)));
    let filled = plan.groups.iter().filter(|group| !group.is_empty());
    let groups: Vec<Vec<(Kind, Rc<[u8]>)>> = filled
        .map(|group| group.iter().map(load).collect())
        .collect();
    let mut turn = 0;
    std::iter::from_fn(move || {
        let group = groups.get(turn % groups.len().max(1))?;
        let shot = group.get(turn / groups.len() % group.len())?;
        turn += 1;
        Some(shot.clone())
    })
}

/// Keeps a connection, and writes into the one that makes room for it: by then
/// it stands, or it never will.
fn keep(open: &mut VecDeque<(Rc<[u8]>, OwnedFd)>, payload: Rc<[u8]>, socket: OwnedFd) {
    if open.len() == OPEN
        && let Some((payload, socket)) = open.pop_front()
    {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&socket, &payload, flags).ok();
    }
    open.push_back((payload, socket));
}
