//! The engine as a process of its own: what it reads before the jail closes, and its end.

mod sys;

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

use rustix::net::{AddressFamily, sockopt};

use crate::control;
use crate::engine::Engine;
use crate::netshell;
use crate::roots::{self, RootsError};
use crate::sandbox::{self, Limits, SandboxError};

/// Why the engine's process ends before its time.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Descriptor 3 is not the daemon's socket: somebody typed the command.
    #[error("the engine is started by the daemon, not by hand: descriptor 3 is no socket")]
    NoControl,
    /// There are no certificate authorities.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Randomness,
    /// The jail did not close.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// There is no event loop.
    #[error("the event loop cannot be built")]
    Runtime(#[source] io::Error),
    /// The control socket cannot be served.
    #[error(transparent)]
    Control(#[from] anyd::DaemonError),
    /// The tunnel device went away.
    #[error("the tunnel device is gone")]
    Device,
}

/// Runs the engine in this process, which has one thread and was started by the daemon.
///
/// Returns when the daemon has closed its end of descriptor 3, and with a failure
/// when the engine cannot go on.
#[must_use]
pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the engine ends");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), ProcessError> {
    let control = take_control()?;
    let roots = roots::load()?;
    // Built before the jail closes, in which no epoll can be made.
    let runtime = netshell::runtime().map_err(ProcessError::Runtime)?;
    seed_randomness()?;
    let confinement = sandbox::enter(Limits::default())?;
    tracing::debug!(?confinement, "the jail is closed");
    runtime.block_on(async {
        let engine = Rc::new(Engine::new(roots));
        tokio::select! {
            served = control::serve(control, Rc::clone(&engine)) => Ok(served?),
            () = engine.device_gone() => Err(ProcessError::Device),
        }
    })
}

/// Draws once: on the first draw the cryptographic library looks for devices, and
/// afterwards it needs nothing but the kernel's generator.
fn seed_randomness() -> Result<(), ProcessError> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let drawn = provider.secure_random.fill(&mut [0; 32]);
    drawn.map_err(|_| ProcessError::Randomness)
}

/// The socket the daemon left on descriptor 3.
fn take_control() -> Result<OwnedFd, ProcessError> {
    let descriptor = sys::control_descriptor().ok_or(ProcessError::NoControl)?;
    let domain = sockopt::socket_domain(&descriptor).map_err(|_| ProcessError::NoControl)?;
    if domain == AddressFamily::UNIX {
        Ok(descriptor)
    } else {
        Err(ProcessError::NoControl)
    }
}
