//! One host of the world.

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::place::Place;
use crate::process::Command;
use crate::user::User;

/// A host: its own network, its own `/etc`, `/run` and `/var/lib`.
///
/// Cheap to clone; the namespaces live as long as any clone, thread or process
/// of it does.
#[derive(Debug, Clone)]
pub struct Host {
    name: &'static str,
    place: Arc<Place>,
}

impl Host {
    pub(crate) fn new(name: &'static str, place: Place) -> Self {
        Self {
            name,
            place: Arc::new(place),
        }
    }

    /// `client`, `router`, `internet` or `node`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A command to run inside. `/proc/self/exe` is the calling program.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        Command::new(Arc::clone(&self.place), program.as_ref())
    }

    /// Runs `work` on a thread inside this host and waits for it. Sockets
    /// opened and files read there are the host's.
    ///
    /// # Errors
    ///
    /// What `work` returns, or the reason the host could not be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.place.namespace.run(work)
    }

    /// As [`Host::run`], by `user`: the kernel sees its sockets as that user's.
    ///
    /// # Errors
    ///
    /// As [`Host::run`], or the reason the user could not be taken.
    pub fn run_as<T: Send>(
        &self,
        user: User,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        self.run(|| {
            user.become_on_this_thread()?;
            work()
        })
    }

    /// Moves the calling thread into this host, for good. Meant for threads
    /// that serve or probe; see [`Host::run`] for a single action.
    ///
    /// # Errors
    ///
    /// Those of `unshare(2)` and `setns(2)`.
    pub fn enter(&self) -> io::Result<()> {
        self.place.namespace.enter()
    }

    /// The network namespace, to lay a cable into.
    pub(crate) fn network(&self) -> BorrowedFd<'_> {
        self.place.namespace.net()
    }
}
