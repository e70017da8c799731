//! The daemon, put together and run.

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::accept::{self, Alive, Connected};
use super::audit::Record;
use super::caller::Caller;
use super::error::{DaemonError, Result};
use super::limits::Limits;
use super::policy::Decision;
use super::product::Product;
use super::registry::Registry;
use super::service::Service;
use super::shared::{Narrow, Shared, Sink};
use super::socket::Socket;
use crate::groups::Groups;
use crate::method::Method;
use crate::peer::Peer;

/// A daemon: services, sockets, limits. See the crate's example.
pub struct Daemon {
    product: Product,
    services: Vec<Box<dyn Service>>,
    sockets: Vec<Socket>,
    streams: Vec<Connected>,
    limits: Limits,
    grace: Duration,
    groups: Groups,
    narrow: Option<Narrow>,
    sink: Option<Sink>,
    pidfds: bool,
    alive: Alive,
}

impl fmt::Debug for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Daemon")
            .field("product", &self.product)
            .field("sockets", &self.sockets)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Daemon {
    /// A daemon that serves nothing yet but its description.
    #[must_use]
    pub fn new(product: Product) -> Self {
        Self {
            product,
            services: Vec::new(),
            sockets: Vec::new(),
            streams: Vec::new(),
            limits: Limits::default(),
            grace: Duration::from_secs(5),
            groups: Groups::system(),
            narrow: None,
            sink: None,
            pidfds: false,
            alive: Box::new(|| true),
        }
    }

    /// Serves an interface.
    #[must_use]
    pub fn serve(mut self, service: impl Service) -> Self {
        self.services.push(Box::new(service));
        self
    }

    /// Listens on a socket.
    #[must_use]
    pub fn listen(mut self, socket: Socket) -> Self {
        self.sockets.push(socket);
        self
    }

    /// Serves one connection that exists already, e.g. an end of a socket
    /// pair. Its client is whoever made the socket; whoever handed it over
    /// vouches for it, so it may be idle for as long as it likes. Without a
    /// socket to listen on, [`Daemon::run`] returns when all such connections
    /// have ended.
    #[must_use]
    pub fn serve_stream(mut self, stream: impl Into<OwnedFd>) -> Self {
        self.streams.push(Connected {
            stream: stream.into(),
            peer: None,
        });
        self
    }

    /// As [`Daemon::serve_stream`], with a client of this identity.
    #[must_use]
    pub fn serve_stream_as(mut self, stream: impl Into<OwnedFd>, peer: Peer) -> Self {
        self.streams.push(Connected {
            stream: stream.into(),
            peer: Some(peer),
        });
        self
    }

    /// Sets what clients may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Adds a policy of the site, asked after the method's own rule: it can
    /// only take rights away.
    #[must_use]
    pub fn narrow(
        mut self,
        policy: impl Fn(&Caller, &Method) -> Decision + Send + Sync + 'static,
    ) -> Self {
        self.narrow = Some(Box::new(policy));
        self
    }

    /// Sends the audit's records somewhere: one for each call of an
    /// `#[audit]` method and for each refusal. Without it they are log lines,
    /// if the feature `tracing` is on.
    #[must_use]
    pub fn audit(mut self, sink: impl Fn(&Record) + Send + Sync + 'static) -> Self {
        self.sink = Some(Box::new(sink));
        self
    }

    /// How long calls in flight may take to end at shutdown (5 s).
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Takes the names of groups from elsewhere than `/etc/group`.
    #[must_use]
    pub fn groups(mut self, groups: Groups) -> Self {
        self.groups = groups;
        self
    }

    /// Asks for a pidfd of every client, at the cost of a descriptor each.
    #[must_use]
    pub fn pidfds(mut self) -> Self {
        self.pidfds = true;
        self
    }

    /// Asks this before the service manager's watchdog is told that the daemon
    /// lives: without it a daemon lives as long as it accepts clients.
    #[must_use]
    pub fn alive(mut self, lives: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.alive = Box::new(lives);
        self
    }

    /// Serves until `shutdown` is done: then accepts no more, answers the
    /// calls in flight, and removes its sockets.
    ///
    /// # Errors
    ///
    /// When a socket cannot be made. Nothing that a client does is an error.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<()> {
        if self.sockets.is_empty() && self.streams.is_empty() {
            return Err(DaemonError::Nowhere);
        }
        let limits = if self.sockets.is_empty() {
            self.limits
        } else {
            // The connection, and its twin while its client does not read.
            accept::within_descriptors(self.limits, 2 + u64::from(self.pidfds))
        };
        let shared = Arc::new(Shared {
            registry: Registry::new(self.product, self.services),
            limits,
            narrow: self.narrow,
            sink: self.sink,
            groups: Arc::new(self.groups),
            users: Arc::default(),
            pidfds: self.pidfds,
            exclusive: Mutex::new(()),
            calls: AtomicU64::new(0),
            started: Instant::now(),
        });
        let mut bound = Vec::new();
        #[cfg(feature = "python")]
        let protocols = self.sockets.iter().map(Socket::protocol).collect();
        for socket in self.sockets {
            bound.push(socket.bind(&shared.groups)?);
        }
        let mut server = accept::Server::new(Arc::clone(&shared), bound)?;
        #[cfg(feature = "python")]
        server.speak(protocols);
        for connected in self.streams {
            server.attach(connected).map_err(DaemonError::Descriptor)?;
        }
        server.run(shutdown, self.grace, self.alive).await;
        Ok(())
    }
}
