//! Moves datagrams between an application and a session through the server.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use vpnm_proxy::Datagrams;

use crate::datagram_run::{Run, Space};
use crate::netshell::UdpFlow;

/// A session without a datagram in either direction ends after this long
/// (RFC 4787 section 4.3 asks for two minutes at least).
const IDLE: Duration = Duration::from_secs(120);
/// Datagrams moved before others get their turn.
const BURST: usize = 64;

/// How a session of datagrams ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// Nothing was sent or received for two minutes.
    #[error("the session was idle")]
    Idle,
    /// The application's side is gone.
    #[error("the application's side is gone")]
    Application(#[source] io::Error),
    /// The session through the server ended.
    #[error("the session through the server ended")]
    Session(#[source] io::Error),
}

/// Relays until one side ends or nothing moves.
///
/// `space` is lent for the time of each call only, so that one buffer serves all
/// sessions. A datagram that the session cannot take at once is lost, as on any
/// full link; nothing is queued. Datagrams of one size that the session has at once go
/// to the application as one packet.
pub(crate) async fn relay(
    mut flow: UdpFlow,
    session: &mut (dyn Datagrams + '_),
    space: &RefCell<Space>,
) -> Ended {
    let mut idle = pin!(tokio::time::sleep(IDLE));
    poll_fn(|cx| {
        let Space { datagram, run } = &mut *space.borrow_mut();
        run.clear();
        let moved = burst(cx, &mut flow, session, datagram, run);
        flush(&flow, run);
        match moved {
            Ok(BURST) => {
                cx.waker().wake_by_ref();
                rest(cx, idle.as_mut(), true)
            }
            Ok(count) => rest(cx, idle.as_mut(), count > 0),
            Err(ended) => Poll::Ready(ended),
        }
    })
    .await
}

/// Moves what there is in both directions; how many times, [`BURST`] at most. What is for
/// the application is left in `run` in part.
fn burst(
    cx: &mut Context<'_>,
    flow: &mut UdpFlow,
    session: &mut (dyn Datagrams + '_),
    datagram: &mut [u8],
    run: &mut Run,
) -> Result<usize, Ended> {
    for count in 0..BURST {
        let up = up(cx, flow, session, datagram)?.is_ready();
        let down = down(cx, flow, session, datagram, run)?.is_ready();
        if !up && !down {
            return Ok(count);
        }
    }
    Ok(BURST)
}

fn flush(flow: &UdpFlow, run: &mut Run) {
    if !run.is_empty() {
        flow.send_batch(run.bytes(), run.segment());
        run.clear();
    }
}

fn up(
    cx: &mut Context<'_>,
    flow: &mut UdpFlow,
    session: &mut (dyn Datagrams + '_),
    space: &mut [u8],
) -> Result<Poll<()>, Ended> {
    let Poll::Ready(length) = flow.poll_recv(cx, space).map_err(Ended::Application)? else {
        return Ok(Poll::Pending);
    };
    let datagram = space.get(..length).unwrap_or_default();
    match session.poll_send(cx, datagram) {
        Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => {
            Err(Ended::Session(error))
        }
        Poll::Ready(_) | Poll::Pending => Ok(Poll::Ready(())),
    }
}

fn down(
    cx: &mut Context<'_>,
    flow: &UdpFlow,
    session: &mut (dyn Datagrams + '_),
    space: &mut [u8],
    run: &mut Run,
) -> Result<Poll<()>, Ended> {
    let Poll::Ready(length) = session.poll_recv(cx, space).map_err(Ended::Session)? else {
        return Ok(Poll::Pending);
    };
    let datagram = space.get(..length).unwrap_or_default();
    if !run.takes(datagram.len()) {
        flush(flow, run);
    }
    run.push([&[], datagram]);
    Ok(Poll::Ready(()))
}

/// Nothing more to move: the idle clock runs, from now on if anything moved.
fn rest(cx: &mut Context<'_>, mut idle: Pin<&mut Sleep>, moved: bool) -> Poll<Ended> {
    if moved {
        idle.as_mut().reset(Instant::now() + IDLE);
    }
    idle.poll(cx).map(|()| Ended::Idle)
}
