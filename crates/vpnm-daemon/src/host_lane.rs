//! The host's lane: the journal and the kernel, on a thread of their own.
//!
//! Netlink calls block for milliseconds and a disk may take longer; the thread
//! that answers clients must not wait for either. Effects come one at a time and
//! are never aborted.

mod worker;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

pub(crate) use worker::{Place, Worker};

use vpnm_api::Unkept;

use crate::permitted::Permitted;
use crate::reconcile::Used;
use crate::tsm::{Effect, Outcome, Ticket};
use crate::uplink::Uplink;

/// Jobs that may wait: an effect, a look and two endings of connections.
const WAITING: usize = 4;

/// What the thread is asked for.
#[derive(Debug)]
enum Job {
    Run(Ticket, Box<Effect>),
    LookAtUplink,
    EndConnections,
    EndStranded,
}

/// What the thread says.
#[derive(Debug)]
pub(crate) enum Report {
    /// An effect ended.
    Done(Ticket, Outcome),
    /// The TUN is open: its descriptor, and the listeners that go with it.
    Tun(Ticket, OwnedFd, Vec<OwnedFd>),
    /// The TUN was found to be gone.
    TunLost,
    /// The network below the tunnel, as it is now, and what the engine uses of it if it is
    /// another than at the last look.
    Uplink(Uplink, Used),
    /// Why the packet filter would have no owner if the daemon died, or that it would.
    Unkept(Option<Unkept>),
}

/// What the thread is told without being asked for anything.
#[derive(Debug, Default)]
struct Told {
    /// What passes beside the tunnel, from the next effect on.
    permitted: Mutex<Permitted>,
    /// A look at the uplink waits for its turn.
    looks: AtomicBool,
    /// An ending of connections waits for its turn.
    ends: AtomicBool,
    /// Addresses that are gone, from which connections are to be ended.
    stranded: Mutex<BTreeSet<IpAddr>>,
}

impl Told {
    fn permitted(&self) -> MutexGuard<'_, Permitted> {
        self.permitted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stranded(&self) -> MutexGuard<'_, BTreeSet<IpAddr>> {
        self.stranded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the thread. Giving it something never waits: the machine orders one
/// effect at a time, and a look is asked for once until it is taken.
#[derive(Debug)]
pub(crate) struct HostLane {
    jobs: SyncSender<Job>,
    told: Arc<Told>,
}

impl HostLane {
    /// Starts the thread; it ends when this is dropped and its last effect is done.
    pub(crate) fn start(worker: Worker) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(WAITING);
        let told = Arc::new(Told::default());
        let hears = Arc::clone(&told);
        thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || work(worker, &queue, &hears))?;
        Ok(Self { jobs, told })
    }

    /// Orders an effect; its end is reported.
    pub(crate) fn order(&self, ticket: Ticket, effect: Effect) {
        self.send(Job::Run(ticket, Box::new(effect)));
    }

    /// Asks for the network below the tunnel, unless that waits to be done already.
    pub(crate) fn look_at_uplink(&self) {
        if !self.told.looks.swap(true, Ordering::AcqRel) {
            self.send(Job::LookAtUplink);
        }
    }

    /// Ends the connections that the tunnel carried: who held them is gone.
    pub(crate) fn end_connections(&self) {
        if !self.told.ends.swap(true, Ordering::AcqRel) {
            self.send(Job::EndConnections);
        }
    }

    /// Ends the engine's connections from these addresses, which are gone.
    pub(crate) fn end_stranded(&self, addresses: BTreeSet<IpAddr>) {
        let mut stranded = self.told.stranded();
        let is_waiting = !stranded.is_empty();
        stranded.extend(addresses);
        drop(stranded);
        if !is_waiting {
            self.send(Job::EndStranded);
        }
    }

    /// What passes beside the tunnel, and what for others, from the next effect on.
    pub(crate) fn permit(&self, permitted: Permitted) {
        *self.told.permitted() = permitted;
    }

    fn send(&self, job: Job) {
        // The thread outlives this sender: it ends by its drop.
        let _ended = self.jobs.send(job);
    }
}

fn work(mut worker: Worker, jobs: &Receiver<Job>, told: &Told) {
    while let Ok(job) = jobs.recv() {
        worker.permit(told.permitted().clone());
        match job {
            Job::Run(ticket, effect) => worker.run(ticket, &effect),
            Job::LookAtUplink => {
                // A change from now on may not be in what is seen.
                told.looks.store(false, Ordering::Release);
                worker.look_at_uplink();
            }
            Job::EndConnections => {
                told.ends.store(false, Ordering::Release);
                worker.end_connections();
            }
            Job::EndStranded => {
                let stranded = std::mem::take(&mut *told.stranded());
                worker.end_stranded(&stranded);
            }
        }
    }
}
