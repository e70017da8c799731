//! A thread inside a host that serves until it is dropped.

use std::io;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;
use tokio::task::LocalSet;

use crate::Host;

/// A running service; it stops, and its sockets close, when this is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Runs `begin` inside `host` within a runtime; what it spawns locally is
    /// the service.
    pub(crate) fn start<E: From<io::Error> + Send + 'static>(
        host: &Host,
        begin: impl AsyncFnOnce() -> Result<(), E> + Send + 'static,
    ) -> Result<Self, E> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let host = host.clone();
        let work = move || {
            let runtime = match enter(&host) {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error.into()))),
            };
            LocalSet::new().block_on(&runtime, async {
                let begun = begin().await;
                let serving = begun.is_ok();
                ready.send(begun).ok();
                if serving {
                    // An error is the sender gone: a stop as well.
                    stopped.await.ok();
                }
            });
        };
        let thread = thread::Builder::new()
            .name("world-service".to_owned())
            .spawn(work)?;
        let gone = |_| E::from(io::Error::other("the service ended before it began"));
        started.recv().map_err(gone)??;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

fn enter(host: &Host) -> io::Result<tokio::runtime::Runtime> {
    host.enter()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
