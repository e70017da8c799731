//! Connections, accepted and ended.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SendFlags, SocketFlags, accept_with, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Interval, sleep, timeout};

use super::connection::Connection;
use super::error::{DaemonError, Result};
use super::limits::Limits;
use super::output;
#[cfg(feature = "python")]
use super::python::Protocol;
use super::shared::Shared;
use super::socket::Bound;
use crate::peer::Peer;
use crate::stream::Stream;
use crate::sys::{self, Watched};
use crate::wire::errors;

/// Descriptors that are not for connections.
const RESERVED: u64 = 64;

/// How long to wait when the kernel has no descriptor or memory left.
const BACK_OFF: Duration = Duration::from_millis(20);

/// Raises the limit of descriptors as far as it goes, and keeps the number of
/// connections, which take `each` so many, below it.
pub(super) fn within_descriptors(mut limits: Limits, each: u64) -> Limits {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: now.maximum,
        maximum: now.maximum,
    };
    // Without the right to raise it the old limit holds.
    let _unchanged = setrlimit(Resource::Nofile, raised);
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let room = (most.saturating_sub(RESERVED) / each.max(1)).max(1);
        limits.conns = limits
            .conns
            .min(usize::try_from(room).unwrap_or(usize::MAX));
    }
    limits
}

/// A connection handed over.
pub(super) struct Connected {
    pub(super) stream: OwnedFd,
    pub(super) peer: Option<Peer>,
}

/// The sockets and the connections of a running daemon.
pub(super) struct Server {
    shared: Arc<Shared>,
    listeners: Vec<Watched>,
    /// What each listener's clients may speak.
    #[cfg(feature = "python")]
    protocols: Vec<Protocol>,
    /// Removes the sockets when it is dropped.
    bound: Vec<Bound>,
    connections: JoinSet<()>,
    stopping: watch::Sender<bool>,
    /// The listener that is asked first for the next connection.
    turn: usize,
}

impl Server {
    pub(super) fn new(shared: Arc<Shared>, mut bound: Vec<Bound>) -> Result<Self> {
        let mut listeners = Vec::new();
        for one in &mut bound {
            let Some(listener) = one.listener() else {
                continue;
            };
            if !shared.registry.takes_descriptors() {
                // Its connections inherit it.
                sys::refuse_descriptors(&listener);
            }
            let listener = sys::watched(Arc::new(listener.into()), Interest::READABLE);
            listeners.push(listener.map_err(DaemonError::Descriptor)?);
        }
        Ok(Self {
            shared,
            listeners,
            #[cfg(feature = "python")]
            protocols: Vec::new(),
            bound,
            connections: JoinSet::new(),
            stopping: watch::Sender::new(false),
            turn: 0,
        })
    }

    /// Sets what the clients of each listener may speak.
    #[cfg(feature = "python")]
    pub(super) fn speak(&mut self, protocols: Vec<Protocol>) {
        self.protocols = protocols;
    }

    /// Serves a connection handed over.
    pub(super) fn attach(&mut self, connected: Connected) -> io::Result<()> {
        if !self.shared.registry.takes_descriptors() {
            sys::refuse_descriptors(&connected.stream);
        }
        let stream = Stream::unblocked(connected.stream)?;
        let peer = match connected.peer {
            Some(peer) => peer,
            None => identify(&stream, self.shared.pidfds)?,
        };
        let connection = Connection::new(stream, peer, &self.shared, self.stopping.subscribe());
        self.connections.spawn(connection.trusted().serve());
        Ok(())
    }

    /// Serves until `shutdown`, then lets the calls in flight end.
    pub(super) async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        grace: Duration,
        alive: Alive,
    ) {
        tokio::pin!(shutdown);
        // Signals are heard from the first look on: to be over before anybody
        // is told that the daemon serves.
        let mut over = poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_ready())).await;
        let mut watchdog = Watchdog::new(!self.listeners.is_empty(), alive);
        while !over {
            if self.listeners.is_empty() && self.connections.is_empty() {
                return;
            }
            // New connections come last, or a crowd of them would keep the
            // watchdog hungry.
            tokio::select! {
                biased;
                () = &mut shutdown => over = true,
                () = watchdog.feed() => {}
                // Those beside a listener are let go of when the next one comes:
                // the end of each is not worth waking up for.
                Some(_ended) = self.connections.join_next(), if self.listeners.is_empty() => {}
                accepted = accept(&self.listeners, self.turn) => match accepted {
                    Ok((place, stream)) => {
                        while self.connections.try_join_next().is_some() {}
                        self.turn = place + 1;
                        self.take(place, stream);
                    }
                    // The client has gone already, or there are no descriptors:
                    // neither may end the daemon.
                    Err(_) => sleep(BACK_OFF).await,
                },
            }
        }
        self.stop(grace, watchdog).await;
    }

    async fn stop(mut self, grace: Duration, mut watchdog: Watchdog) {
        #[cfg(feature = "systemd")]
        if !self.listeners.is_empty() {
            // A manager that does not hear it waits for the end of the process.
            let _unheard = crate::systemd::stopping();
        }
        self.listeners.clear();
        self.bound.clear();
        self.stopping.send_replace(true);
        let ended = timeout(grace, async {
            loop {
                tokio::select! {
                    biased;
                    () = watchdog.feed() => {}
                    ended = self.connections.join_next() => if ended.is_none() { break },
                }
            }
        });
        if ended.await.is_err() {
            self.connections.shutdown().await;
        }
    }

    #[cfg_attr(
        not(feature = "python"),
        expect(unused_variables, reason = "every listener speaks Varlink")
    )]
    fn take(&mut self, place: usize, stream: OwnedFd) {
        let Ok(peer) = identify(&stream, self.shared.pidfds) else {
            return;
        };
        let now = self.shared.now();
        let admission = self.shared.users.admit(&peer, &self.shared.limits, now);
        let Some(admission) = admission else {
            let mut text = Vec::new();
            output::error(&mut text, errors::BUSY, &[]);
            // A client that does not take it sees a closed connection.
            let _not_taken = send(&stream, &text, SendFlags::NOSIGNAL);
            return;
        };
        let connection = Connection::new(
            Stream::new(stream),
            peer,
            &self.shared,
            self.stopping.subscribe(),
        );
        #[cfg(feature = "python")]
        let connection =
            connection.speaking(self.protocols.get(place).cloned().unwrap_or_default());
        self.connections.spawn(async move {
            connection.serve().await;
            drop(admission);
        });
    }
}

/// Whether the daemon lives, in its own opinion.
pub(super) type Alive = Box<dyn Fn() -> bool + Send + Sync>;

/// Tells the service manager that the daemon serves, and that it lives.
struct Watchdog {
    interval: Option<Interval>,
    alive: Alive,
}

impl Watchdog {
    #[cfg(feature = "systemd")]
    fn new(listening: bool, alive: Alive) -> Self {
        let interval = listening.then(|| {
            // Without a manager there is nobody to tell.
            let _unheard = crate::systemd::ready();
            crate::systemd::watchdog().map(tokio::time::interval)
        });
        Self {
            interval: interval.flatten(),
            alive,
        }
    }

    #[cfg(not(feature = "systemd"))]
    fn new(_: bool, alive: Alive) -> Self {
        Self {
            interval: None,
            alive,
        }
    }

    async fn feed(&mut self) {
        let Some(interval) = &mut self.interval else {
            return std::future::pending().await;
        };
        interval.tick().await;
        let lives = (self.alive)();
        #[cfg(feature = "systemd")]
        if lives {
            crate::systemd::alive();
        }
        #[cfg(not(feature = "systemd"))]
        let _nobody_asks = lives;
    }
}

/// The next connection, and which listener's it is; none ever without
/// listeners. Who is asked first changes, so that a crowd at one listener does
/// not keep the others waiting.
async fn accept(listeners: &[Watched], turn: usize) -> io::Result<(usize, OwnedFd)> {
    let (later, sooner) = listeners.split_at(turn % listeners.len().max(1));
    let turns = sooner.iter().chain(later);
    let places = (later.len()..listeners.len()).chain(0..later.len());
    poll_fn(|cx| {
        for (place, listener) in places.clone().zip(turns.clone()) {
            if let Poll::Ready(accepted) = poll_accept(listener, cx) {
                return Poll::Ready(accepted.map(|stream| (place, stream)));
            }
        }
        Poll::Pending
    })
    .await
}

fn poll_accept(listener: &Watched, cx: &mut Context<'_>) -> Poll<io::Result<OwnedFd>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        let mut ready = ready!(listener.poll_read_ready(cx))?;
        if let Ok(accepted) = ready.try_io(|listener| Ok(accept_with(listener, flags)?)) {
            return Poll::Ready(accepted);
        }
    }
}

/// Who is at the other end, by the kernel's word.
fn identify(stream: impl AsFd, pidfd: bool) -> io::Result<Peer> {
    let credentials = sys::peer_credentials(&stream)?;
    Ok(Peer {
        uid: credentials.uid,
        gid: credentials.gid,
        groups: sys::peer_groups(&stream)?,
        pid: u32::try_from(credentials.pid).unwrap_or(0),
        label: sys::peer_label(&stream),
        // A process that has ended has none.
        pidfd: pidfd
            .then(|| sys::peer_pidfd(&stream).ok().map(Arc::new))
            .flatten(),
    })
}
