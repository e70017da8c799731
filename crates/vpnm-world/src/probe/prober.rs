//! A thread that fires probes until it is told to stop.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};

use super::kind::Kind;
use super::payload;
use super::shot::{Fired, Range};
use crate::addresses::CLIENT_LINK;
use crate::{Host, User, links, sys};

/// Connections kept open at a time, to write into once they stand.
const OPEN: usize = 256;

/// What to probe, as whom, how fast.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The proxy server's address and port.
    pub server: SocketAddr,
    /// Which kinds, in turn.
    pub kinds: Vec<Kind>,
    /// Who probes.
    pub user: User,
    /// Time from one probe to the next.
    pub interval: Duration,
}

impl Plan {
    /// Every kind in turn, by a user without any right, one each millisecond.
    #[must_use]
    pub fn everything(server: SocketAddr) -> Self {
        Self {
            server,
            kinds: Kind::ALL.to_vec(),
            user: User::Mallory,
            interval: Duration::from_millis(1),
        }
    }
}

/// What one kind of probe did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Probes fired.
    pub attempted: u64,
    /// Of those, refused by the client's own kernel at once.
    pub refused: u64,
}

/// Probes being fired. Stops when dropped.
#[derive(Debug)]
pub struct Prober {
    stop: Arc<AtomicBool>,
    fired: Arc<AtomicU64>,
    thread: Option<JoinHandle<BTreeMap<Kind, Attempts>>>,
}

impl Prober {
    /// Starts to fire inside `host`.
    ///
    /// # Errors
    ///
    /// When the host cannot be entered or the user taken.
    pub fn start(host: &Host, plan: Plan) -> io::Result<Self> {
        let (stop, fired) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (theirs, count, host) = (Arc::clone(&stop), Arc::clone(&fired), host.clone());
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("world-prober".to_owned())
            .spawn(move || match prepare(&host, &plan) {
                Ok(range) => {
                    ready.send(Ok(())).ok();
                    fire(range, &plan, &theirs, &count)
                }
                Err(error) => {
                    ready.send(Err(error)).ok();
                    BTreeMap::new()
                }
            })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self {
            stop,
            fired,
            thread: Some(thread),
        })
    }

    /// Probes fired so far.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::Relaxed)
    }

    /// Stops, and says what was done by kind.
    #[must_use]
    pub fn stop(mut self) -> BTreeMap<Kind, Attempts> {
        self.end()
    }

    fn end(&mut self) -> BTreeMap<Kind, Attempts> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default()
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
    let packet = if plan.kinds.contains(&Kind::Packet) {
        Some(packet_socket(interface)?)
    } else {
        None
    };
    // The kernel looks at the user of a socket's creator: this thread's alone
    // changes.
    plan.user.become_on_this_thread()?;
    Ok(Range {
        server: plan.server,
        interface,
        packet,
        count: 0,
    })
}

fn packet_socket(interface: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    // Protocol 0: sends, hears nothing.
    let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)?;
    sys::bind_packet_to_send(socket.as_fd(), interface)?;
    Ok(socket)
}

fn fire(
    mut range: Range,
    plan: &Plan,
    stop: &AtomicBool,
    fired: &AtomicU64,
) -> BTreeMap<Kind, Attempts> {
    let mut attempts: BTreeMap<Kind, Attempts> = BTreeMap::new();
    let mut open = VecDeque::with_capacity(OPEN);
    for kind in plan.kinds.iter().copied().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let entry = attempts.entry(kind).or_default();
        entry.attempted += 1;
        match range.fire(kind) {
            Fired::Sent => {}
            Fired::Connecting(socket) => keep(&mut open, kind, socket),
            Fired::Refused => entry.refused += 1,
        }
        fired.fetch_add(1, Ordering::Relaxed);
        thread::sleep(plan.interval);
    }
    attempts
}

/// Keeps a connection, and writes into the one that makes room for it: by then
/// it stands, or it never will.
fn keep(open: &mut VecDeque<(Kind, OwnedFd)>, kind: Kind, socket: OwnedFd) {
    if open.len() == OPEN
        && let Some((kind, socket)) = open.pop_front()
    {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::net::send(&socket, &payload::of(kind), flags).ok();
    }
    open.push_back((kind, socket));
}
