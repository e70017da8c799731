//! The threads that do the work, one for each queue of the device.

use std::io;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::thread::{self, Scope, ScopedJoinHandle};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;

use super::pings::OfNobody;
use super::{Options, Tun2Socks, waiting};
use crate::netshell::{self, Config, Share};

/// Descriptors that are asked for: an association each for as many as may be open, and
/// as many connections.
const DESCRIPTORS: u64 = 131_072;

/// Descriptors that associations leave to connections.
const CONNECTIONS: usize = 2_048;

/// Serves the device until it goes away. Blocks the calling thread.
///
/// `queues` are all open queues of the TUN device, in the order in which they were
/// attached, each as [`netshell::run`] takes it. The calling thread does all the work of
/// a single one; several get a thread each, and a part of every limit. Routes that keep
/// the proxy's own address out of the device, or a [`Bypass`](super::Bypass), are the
/// caller's matter.
///
/// # Errors
/// When there is no queue, when a runtime or a thread cannot be made, or when the device
/// fails.
pub fn run(queues: Vec<OwnedFd>, options: Options) -> io::Result<()> {
    let descriptors = usize::try_from(raise_descriptor_limit()).unwrap_or(usize::MAX);
    let work = Work {
        config: Config::new(options.mtu)?,
        options,
        descriptors: descriptors.saturating_sub(CONNECTIONS),
        waiting: waiting::BYTES,
        of_nobody: OfNobody::default(),
    };
    let queues = match <[OwnedFd; 1]>::try_from(queues) {
        Ok([only]) => return work.serve(only),
        Err(queues) => queues,
    };
    let count = u32::try_from(queues.len()).ok().and_then(NonZeroU32::new);
    let shares = Share::among(count.ok_or(io::ErrorKind::InvalidInput)?);
    let end = watch::Sender::new(false);
    thread::scope(|scope| {
        let queues = shares.into_iter().zip(queues);
        let workers = queues.map(|(share, queue)| work.start(scope, share, queue, &end));
        let workers: Vec<_> = workers.collect();
        let outcomes = workers.into_iter().map(|worker| {
            let outcome = worker?.join();
            outcome.unwrap_or_else(|_| Err(io::Error::other("a queue's thread panicked")))
        });
        outcomes.fold(Ok(()), Result::and)
    })
}

/// What a thread works with.
#[derive(Debug, Clone)]
struct Work {
    config: Config,
    options: Options,
    /// How many descriptors its associations may have.
    descriptors: usize,
    /// How many bytes may wait for the proxy's answers.
    waiting: usize,
    /// What all queues know of the proxy.
    of_nobody: OfNobody,
}

/// Has all threads end when one does, however that came.
struct End<'a>(&'a watch::Sender<bool>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

impl Work {
    /// The part of one of several queues.
    fn divided(&self, share: Share) -> Self {
        let queues = usize::try_from(share.count().get()).unwrap_or(usize::MAX);
        let part = |limit: usize| (limit / queues).max(1);
        Self {
            options: Options {
                udp_associations: part(self.options.udp_associations),
                ..self.options.clone()
            },
            descriptors: part(self.descriptors),
            waiting: part(self.waiting),
            of_nobody: self.of_nobody.clone(),
            config: self.config.clone().shared(share),
        }
    }

    /// Starts the thread of one of several queues.
    fn start<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        share: Share,
        queue: OwnedFd,
        end: &'scope watch::Sender<bool>,
    ) -> io::Result<ScopedJoinHandle<'scope, io::Result<()>>> {
        let work = self.divided(share);
        let others = end.subscribe();
        let end = End(end);
        let thread = thread::Builder::new().name("queue".to_owned());
        thread.spawn_scoped(scope, move || {
            let outcome = work.serve_until(queue, others);
            drop(end);
            outcome
        })
    }

    /// Serves a queue until the device is gone.
    fn serve(self, queue: OwnedFd) -> io::Result<()> {
        netshell::runtime()?.block_on(self.shell(queue))
    }

    /// Serves a queue until the device is gone or another queue's thread has ended.
    fn serve_until(self, queue: OwnedFd, mut others: watch::Receiver<bool>) -> io::Result<()> {
        netshell::runtime()?.block_on(async move {
            tokio::select! {
                biased;
                ended = self.shell(queue) => ended,
                // Gone or true: either way another has ended.
                _ = others.wait_for(|ended| *ended) => Ok(()),
            }
        })
    }

    async fn shell(self, queue: OwnedFd) -> io::Result<()> {
        let (descriptors, waiting) = (self.descriptors, self.waiting);
        let handler = Tun2Socks::new(self.options, descriptors, waiting, self.of_nobody);
        let handler = Rc::new(handler);
        handler.prepare();
        netshell::run(queue, self.config, handler).await
    }
}

/// Allows this process as many descriptors as it may have; how many that are.
fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(DESCRIPTORS);
    // More than the hard limit needs a privilege.
    for wanted in [DESCRIPTORS.max(most), most] {
        let raised = Rlimit {
            current: Some(wanted),
            maximum: Some(wanted),
        };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    limit.current.unwrap_or(most)
}
