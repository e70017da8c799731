//! Moves datagrams between an application and a session through the server.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};
use vpnm_proxy::Datagrams;

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
/// full link; nothing is queued.
pub(crate) async fn relay(
    mut flow: UdpFlow,
    session: &mut (dyn Datagrams + '_),
    space: &RefCell<Vec<u8>>,
) -> Ended {
    let mut idle = pin!(tokio::time::sleep(IDLE));
    poll_fn(|cx| {
        let mut space = space.borrow_mut();
        let mut moved = false;
        for _ in 0..BURST {
            let up = match up(cx, &mut flow, session, &mut space) {
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            let down = match down(cx, &flow, session, &mut space) {
                Poll::Ready(Err(ended)) => return Poll::Ready(ended),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            if !up && !down {
                return rest(cx, idle.as_mut(), moved);
            }
            moved = true;
        }
        cx.waker().wake_by_ref();
        rest(cx, idle.as_mut(), moved)
    })
    .await
}

fn up(
    cx: &mut Context<'_>,
    flow: &mut UdpFlow,
    session: &mut (dyn Datagrams + '_),
    space: &mut [u8],
) -> Poll<Result<(), Ended>> {
    let length = std::task::ready!(flow.poll_recv(cx, space)).map_err(Ended::Application)?;
    let datagram = space.get(..length).unwrap_or_default();
    match session.poll_send(cx, datagram) {
        Poll::Ready(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => {
            Poll::Ready(Err(Ended::Session(error)))
        }
        Poll::Ready(_) | Poll::Pending => Poll::Ready(Ok(())),
    }
}

fn down(
    cx: &mut Context<'_>,
    flow: &UdpFlow,
    session: &mut (dyn Datagrams + '_),
    space: &mut [u8],
) -> Poll<Result<(), Ended>> {
    let length = std::task::ready!(session.poll_recv(cx, space)).map_err(Ended::Session)?;
    flow.send(space.get(..length).unwrap_or_default());
    Poll::Ready(Ok(()))
}

/// Nothing more to move: the idle clock runs, from now on if anything moved.
fn rest(cx: &mut Context<'_>, mut idle: Pin<&mut Sleep>, moved: bool) -> Poll<Ended> {
    if moved {
        idle.as_mut().reset(Instant::now() + IDLE);
    }
    idle.poll(cx).map(|()| Ended::Idle)
}
