//! The resolver's lane: the host's own resolver, told about the tunnel, on a thread
//! of its own.
//!
//! Nothing waits for it: names are secret and blocked names stay blocked whatever it
//! comes to. While the tunnel carries traffic, everything is compared again whenever
//! the resolver comes or goes, and every 30 seconds. What fails is a hint.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::watch;
use vpnm_api::Note;
use vpnm_host::{Asked, Resolved, ResolvedError, Resolver, Settled};

use crate::cause::chain;

/// Time between two looks while the tunnel carries traffic.
const REFRESH: Timespec = seconds(30);
/// After what failed, and while there is no bus to tell of anything.
const RETRY: Timespec = seconds(5);

const LINK_LOCAL: &str = "names may not resolve: /etc/resolv.conf names link-local \
     resolvers only, add any other, such as `nameserver 127.0.0.1`";

/// The way to the thread.
#[derive(Debug)]
pub(crate) struct ResolverLane {
    told: Arc<Told>,
    hint: watch::Receiver<Option<Note>>,
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
        let (says, hint) = watch::channel(None);
        let hears = Arc::clone(&told);
        thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || work(&hears, &says))?;
        Ok(Self { told, hint })
    }

    /// Says whether the tunnel carries this machine's traffic.
    pub(crate) fn drive(&self, carries: bool) {
        if self.told.carries.swap(carries, Ordering::AcqRel) != carries {
            self.told.wake();
        }
    }

    /// What is wrong with the resolver, and what to do about it.
    pub(crate) fn hint(&self) -> Option<Note> {
        self.hint.borrow().clone()
    }

    /// Waits until there is another hint.
    pub(crate) async fn has_news(&mut self) {
        if self.hint.changed().await.is_err() {
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

    fn wait(&self, resolved: &Resolved, limit: Option<&Timespec>) {
        let mut waits = vec![PollFd::new(&self.wakes, PollFlags::IN)];
        let bus = resolved.descriptor();
        waits.extend(bus.as_ref().map(|bus| PollFd::new(bus, PollFlags::IN)));
        if let Err(error) = poll(&mut waits, limit) {
            tracing::debug!(%error, "waiting was interrupted");
        }
        // Whatever is in it, it is empty from now on.
        let _empty = rustix::io::read(self.wakes.as_fd(), &mut [0; 8]);
    }
}

fn work(told: &Told, says: &watch::Sender<Option<Note>>) {
    let mut resolved = Resolved::default();
    let mut was_driven = false;
    while !told.ends.load(Ordering::Acquire) {
        let carries = told.carries.load(Ordering::Acquire);
        let (hint, limit) = if carries {
            match resolved.reach() {
                // Without a bus nobody tells when it comes.
                Ok(settled) if resolved.descriptor().is_none() => (hint_of(&settled), Some(&RETRY)),
                Ok(settled) => (hint_of(&settled), Some(&REFRESH)),
                Err(error) => (Some(complaint(&error)), Some(&RETRY)),
            }
        } else {
            if was_driven && let Err(error) = resolved.flush() {
                tracing::debug!(%error, "answers of the tunnel may be remembered");
            }
            (None, None)
        };
        was_driven = carries;
        says.send_if_modified(|said| {
            let is_news = *said != hint;
            *said = hint;
            is_news
        });
        told.wait(&resolved, limit);
        if resolved.has_changed() {
            tracing::info!("the host's resolver came or went");
        }
    }
}

/// What to do where nothing can be told to a resolver that works.
fn hint_of(settled: &Settled) -> Option<Note> {
    if let Settled::Told(changes) = settled
        && !changes.is_empty()
    {
        tracing::info!(changes = changes.len(), "systemd-resolved knows the tunnel");
    }
    (Resolver::read().asked == Asked::LinkLocal).then(|| LINK_LOCAL.into())
}

fn complaint(error: &ResolvedError) -> Note {
    tracing::warn!(%error, "names may not resolve");
    Note::new(&format!(
        "names may resolve slowly or not at all: {}; see `resolvectl status`",
        chain(error)
    ))
}

const fn seconds(count: i64) -> Timespec {
    Timespec {
        tv_sec: count,
        tv_nsec: 0,
    }
}
