//! The protocol of the PyPI package `anyd` 0.4, whose clients call this daemon
//! unchanged: pickles over `multiprocessing.connection`. The same methods, the
//! same rules, the same identity of the caller by the kernel's word.
//!
//! An endpoint is a method's name in snake case; arguments have their places by
//! the trait's order. A reply of one field is that field's value. Errors arrive
//! as Python's own exceptions: `NotImplementedError` for an endpoint that there
//! is not, `PermissionError`, `TypeError` for a wrong argument, `TimeoutError`,
//! and `RuntimeError` with the fault's name and fields.

mod answers;
mod challenge;
mod frames;
mod handshake;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use self::frames::Frame;
use super::admission::{Asked, Source};
use super::line::{Closed, Flow, Line, stopped};
use crate::pickle::{self, Request};
use crate::writer::Form;

/// What a socket's clients may speak.
#[derive(Clone, Debug, Default)]
pub(super) enum Protocol {
    /// Varlink only.
    #[default]
    Varlink,
    /// Varlink or Python's; the first byte says which.
    Either,
    /// Python's, after a challenge: here the daemon speaks first.
    Challenged(Arc<[u8]>),
}

/// Whether a first byte is that of a frame of Python's.
pub(super) fn is_python(first: u8) -> bool {
    // A length of less than 16 MiB, or the mark of a longer one.
    matches!(first, 0x00 | 0xff)
}

/// Serves a client of the Python package.
pub(super) async fn serve(line: &mut Line, authkey: Option<&[u8]>) -> Closed {
    match sessions(line, authkey).await {
        Ok(()) => Closed::ByClient,
        Err(why) => why,
    }
}

async fn sessions(line: &mut Line, authkey: Option<&[u8]>) -> Flow {
    let limits = line.shared.limits.clone();
    if let Some(authkey) = authkey {
        let shaken = handshake::shake(line, authkey);
        timeout(limits.first, shaken)
            .await
            .map_err(|_| Closed::Idle)??;
    }
    let mut wait = limits.first;
    loop {
        let frame = frames::next(line, wait, limits.message_within).await?;
        pace(line).await?;
        wait = limits.idle;
        let pickle = match frame {
            Frame::Whole(pickle) => pickle,
            Frame::TooLong => {
                let reason = format!("longer than {} bytes", limits.message);
                line.write(&frames::framed(&answers::value_error(&reason)))
                    .await?;
                return Err(Closed::TooLong);
            }
        };
        let answer = match pickle::read(&pickle) {
            Ok(Request::End) => {
                line.write(&frames::framed(&pickle::ends())).await?;
                return Ok(());
            }
            Ok(Request::Call {
                endpoint,
                args,
                kwargs,
            }) => call(line, &endpoint, Source::Arguments { args, kwargs }).await?,
            Err(error) => answers::value_error(&error.to_string()),
        };
        line.write(&frames::framed(&answer)).await?;
    }
}

/// Carries out a call: the pickle of its answer.
async fn call(line: &Line, endpoint: &str, source: Source<'_>) -> Result<Vec<u8>, Closed> {
    let Some(found) = line.shared.registry.endpoint(endpoint) else {
        return Ok(answers::not_implemented(endpoint));
    };
    let asked = Asked {
        name: found.method.qualified,
        more: false,
        upgrade: false,
        source,
        fds: Vec::new(),
    };
    let nothing = Form::Value(serde_json::Value::Null);
    let performed = line.perform(asked, nothing).await?;
    answers::of(performed, found.method)
}

async fn pace(line: &mut Line) -> Flow {
    let wait = line.pace();
    if wait > Duration::ZERO {
        tokio::select! {
            () = sleep(wait) => {}
            () = stopped(&mut line.stopping) => return Err(Closed::Stopping),
        }
    }
    Ok(())
}
