//! Where processes of a host run, and who starts them.

use std::io;
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::namespace::Namespace;

/// A host's namespaces, and the thread that starts processes in them.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) namespace: Namespace,
    pub(crate) keeper: Arc<Keeper>,
}

type Order = (std::process::Command, SyncSender<io::Result<Child>>);

/// The thread that starts every process of a world.
///
/// A child's death signal fires when the *thread* that started it ends, so
/// this one lives as long as the world does.
#[derive(Debug)]
pub(crate) struct Keeper {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub(crate) fn start() -> io::Result<Arc<Self>> {
        let (orders, inbox) = sync_channel::<Order>(16);
        let thread = thread::Builder::new()
            .name("world-keeper".to_owned())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    // A requester that has gone has nobody to tell.
                    reply.send(command.spawn()).ok();
                }
            })?;
        Ok(Arc::new(Self {
            orders: Some(orders),
            thread: Some(thread),
        }))
    }

    /// Starts a process; it is killed when the world ends.
    pub(crate) fn spawn(&self, command: std::process::Command) -> io::Result<Child> {
        let gone = || io::Error::other("the world has ended");
        let (reply, answer) = sync_channel(1);
        let orders = self.orders.as_ref().ok_or_else(gone)?;
        orders.send((command, reply)).map_err(|_| gone())?;
        answer.recv().map_err(|_| gone())?
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
