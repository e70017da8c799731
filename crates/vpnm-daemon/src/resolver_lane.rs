//! The resolver's lane: the host's own resolver, told about the tunnel, on a thread
//! of its own.
//!
//! Nothing waits for it: names are secret and blocked names stay blocked whatever it
//! comes to. While the tunnel carries traffic, everything is compared again whenever
//! the resolver comes or goes or its files change, and every 30 seconds. What fails is
//! a hint.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::watch;
use vpnm_api::Note;
use vpnm_host::{Resolved, ResolvedError, Resolver, Settled};

use crate::cause::chain;

/// Time between two looks while the tunnel carries traffic.
const REFRESH: Timespec = seconds(30);
/// After what failed, and while there is no bus to tell of anything.
const RETRY: Timespec = seconds(5);

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct ResolverLane {
    told: Arc<Told>,
    found: watch::Receiver<Found>,
}

/// What the thread finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Found {
    /// What is wrong with the resolver, and what to do about it.
    hint: Option<Note>,
    /// Resolvers with private addresses that the host was told of.
    private_servers: Vec<IpAddr>,
}

#[derive(Debug)]
struct Told {
    wakes: OwnedFd,
    /// The tunnel carries this machine's traffic.
    carries: AtomicBool,
    ends: AtomicBool,
}

impl ResolverLane {
    /// Starts the thread; it ends when this is dropped.
    pub(crate) fn start() -> io::Result<Self> {
        let told = Arc::new(Told {
            wakes: eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?,
            carries: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        });
        let (says, found) = watch::channel(Found::default());
        let hears = Arc::clone(&told);
        thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || work(&hears, &says))?;
        Ok(Self { told, found })
    }

    /// Says whether the tunnel carries this machine's traffic.
    pub(crate) fn drive(&self, carries: bool) {
        if self.told.carries.swap(carries, Ordering::AcqRel) != carries {
            self.told.wake();
        }
    }

    /// What is wrong with the resolver, and what to do about it.
    pub(crate) fn hint(&self) -> Option<Note> {
        self.found.borrow().hint.clone()
    }

    /// Resolvers with private addresses that the host was told of; none while the
    /// tunnel carries nothing.
    pub(crate) fn private_servers(&self) -> Vec<IpAddr> {
        self.found.borrow().private_servers.clone()
    }

    /// Waits until there is something else to say.
    pub(crate) async fn has_news(&mut self) {
        if self.found.changed().await.is_err() {
            // The thread died: there will never be any.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for ResolverLane {
    fn drop(&mut self) {
        self.told.ends.store(true, Ordering::Release);
        self.told.wake();
    }
}

impl Told {
    fn wake(&self) {
        // It can only fail by being full, and then it wakes.
        let _full = rustix::io::write(&self.wakes, &1_u64.to_ne_bytes());
    }

    fn wait(&self, resolved: &Resolved, files: Option<&OwnedFd>, limit: Option<&Timespec>) {
        let mut waits = vec![PollFd::new(&self.wakes, PollFlags::IN)];
        waits.extend(files.map(|files| PollFd::new(files, PollFlags::IN)));
        let bus = resolved.descriptor();
        waits.extend(bus.as_ref().map(|bus| PollFd::new(bus, PollFlags::IN)));
        if let Err(error) = poll(&mut waits, limit) {
            tracing::debug!(%error, "waiting was interrupted");
        }
        // Whatever is in it, it is empty from now on.
        let _empty = rustix::io::read(self.wakes.as_fd(), &mut [0; 8]);
    }
}

fn work(told: &Told, says: &watch::Sender<Found>) {
    let mut resolved = Resolved::default();
    let mut was_driven = false;
    while !told.ends.load(Ordering::Acquire) {
        let carries = told.carries.load(Ordering::Acquire);
        // Before anything is read: what changes from now on is told.
        let files = carries.then(watch_files).flatten();
        let (found, limit) = if carries {
            match resolved.reach() {
                // Without a bus nobody tells when it comes.
                Ok(settled) if resolved.descriptor().is_none() => (look(&settled), Some(&RETRY)),
                Ok(settled) => (look(&settled), Some(&REFRESH)),
                Err(error) => (complaint(&error), Some(&RETRY)),
            }
        } else {
            if was_driven && let Err(error) = resolved.flush() {
                tracing::debug!(%error, "answers of the tunnel may be remembered");
            }
            (Found::default(), None)
        };
        was_driven = carries;
        says.send_if_modified(|said| {
            let is_news = *said != found;
            *said = found;
            is_news
        });
        told.wait(&resolved, files.as_ref(), limit);
        if resolved.has_changed() {
            tracing::info!("the host's resolver came or went");
        }
    }
}

/// What tells of changes of the resolver's files; without it they are found by looking.
fn watch_files() -> Option<OwnedFd> {
    let watch = vpnm_host::watch_resolver_files();
    watch
        .inspect_err(|error| tracing::debug!(%error, "changes of resolv.conf are not told"))
        .ok()
}

/// What there is, where everything that there was to tell was told.
fn look(settled: &Settled) -> Found {
    if let Settled::Told(changes) = settled
        && !changes.is_empty()
    {
        tracing::info!(changes = changes.len(), "systemd-resolved knows the tunnel");
    }
    Found {
        hint: None,
        private_servers: Resolver::read().private_servers,
    }
}

fn complaint(error: &ResolvedError) -> Found {
    tracing::warn!(%error, "names may not resolve");
    let hint = Note::new(&format!(
        "names may resolve slowly or not at all: {}; see `resolvectl status`",
        chain(error)
    ));
    Found {
        hint: Some(hint),
        private_servers: Resolver::read().private_servers,
    }
}

const fn seconds(count: i64) -> Timespec {
    Timespec {
        tv_sec: count,
        tv_nsec: 0,
    }
}
