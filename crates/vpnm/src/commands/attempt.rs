//! Waiting for the daemon to bring a tunnel up: `connect` and `reconnect`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyd::CallError;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use vpnm_api::tunnel::{TunnelBlocking, TunnelError};
use vpnm_api::{Goal, State, Status};

use super::{Context, status};
use crate::control;
use crate::exit::Exit;
use crate::output::{Failure, Problem, Progress, Reporter};

/// How often Ctrl-C is looked for.
const GLANCE: Duration = Duration::from_millis(50);

type Outcome = Result<Status, CallError<TunnelError>>;

/// Has the daemon do `call`, shows what it is at, and says how it ended.
///
/// Ctrl-C takes back what was begun: if the machine was open before, it is
/// opened again; if not, it stays blocked and the daemon goes on.
pub(super) fn run(
    context: &Context,
    call: impl FnOnce(&mut TunnelBlocking) -> Outcome + Send + 'static,
) -> Result<Exit, Failure> {
    let mut tunnel = control::open()?;
    let before = tunnel
        .status()
        .map_err(|error| control::refused("the daemon did not say how things are", error))?;
    let interrupted = interruptions().map_err(|error| {
        Problem::new(
            Exit::Failed,
            "signals",
            "Ctrl-C cannot be watched for",
            error.to_string(),
            "vpnm status",
        )
    })?;
    let progress = Progress::start(&context.output, "asking the daemon");
    follow(progress.reporter());
    let (tell, hear) = sync_channel(1);
    thread::spawn(move || {
        // Nobody listens any more after Ctrl-C.
        let _unheard = tell.send(call(&mut tunnel));
    });
    let outcome = loop {
        match hear.recv_timeout(GLANCE) {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Timeout) if interrupted.load(Ordering::Relaxed) => {
                return take_back(context, progress, before.goal);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Problem::new(
                    Exit::Failed,
                    "internal",
                    "not connected",
                    "the thread that asked the daemon ended without an answer",
                    "vpnm status",
                )
                .into());
            }
        }
    };
    drop(progress);
    finish(context, outcome)
}

/// A flag that Ctrl-C raises. Once raised, Ctrl-C ends the program at once.
fn interruptions() -> std::io::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(&raised))?;
        flag::register(signal, Arc::clone(&raised))?;
    }
    Ok(raised)
}

/// Reports every step of the daemon. The thread ends with the program.
fn follow(reporter: Reporter) {
    thread::spawn(move || {
        let Ok(mut tunnel) = control::open() else {
            return;
        };
        let Ok(events) = tunnel.watch() else {
            return;
        };
        for status in events.map_while(Result::ok) {
            if let State::Connecting { step } = status.state {
                reporter.report(step.what());
            }
        }
    });
}

fn finish(context: &Context, outcome: Outcome) -> Result<Exit, Failure> {
    match outcome {
        Ok(status) if matches!(status.state, State::Connected(_)) => {
            status::show(&context.output, &status)?;
            Ok(Exit::Success)
        }
        Ok(status) => Err(match status.state.cause() {
            Some(cause) => {
                let problem = control::failed(control::not_connected(&status.state), cause);
                control::advised(problem, cause, &status)
            }
            None => Problem::new(
                Exit::State,
                "superseded",
                control::not_connected(&status.state),
                "another command took the place of this one",
                "vpnm status",
            ),
        }
        .into()),
        Err(error) => {
            let status = control::open()
                .ok()
                .and_then(|mut tunnel| tunnel.status().ok());
            let what = status.as_ref().map_or("not connected", |status| {
                control::not_connected(&status.state)
            });
            let failure = if let CallError::Remote(TunnelError::Failed { failure }) = &error {
                Some(failure.clone())
            } else {
                None
            };
            let problem = control::refused(what, error);
            Err(match (failure, status) {
                (Some(failure), Some(status)) => control::advised(problem, &failure, &status),
                _ => problem,
            }
            .into())
        }
    }
}

/// What Ctrl-C means.
fn take_back(context: &Context, progress: Progress, before: Goal) -> Result<Exit, Failure> {
    if before == Goal::Secured {
        drop(progress);
        context.output.note(
            "stopped waiting; the machine stays blocked and the daemon goes on\n\
             next:  vpnm status, or vpnm disconnect",
        )?;
        return Ok(Exit::Interrupted);
    }
    progress.reporter().report("opening the machine again");
    let mut tunnel = control::open()?;
    tunnel.disconnect().map_err(|error| {
        control::refused("not connected, and the machine was not opened again", error)
    })?;
    drop(progress);
    context
        .output
        .note("stopped; traffic leaves this machine as before")?;
    Ok(Exit::Interrupted)
}
